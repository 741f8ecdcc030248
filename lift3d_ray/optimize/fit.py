"""The optimisation loop: reference losses at every step, novel views pulled towards the prior's clean estimates.

Shape suffixes: B views, N rays, S picture side, R grid points along an axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance import regularizers
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.latent import latent_losses, photo_loss
from lift3d_ray.optimize.look import Sight, look
from lift3d_ray.optimize.novel import novel_losses
from lift3d_ray.optimize.recent import RecentLosses, numbers
from lift3d_ray.optimize.rendering import jittered, render_step, sharpness
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import FitState, refine_grid, refresh_occupancy
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Progress

OCCUPANCY_EVERY = 8
RAW_DENSITY_BOUND = 1.2


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An optimised field.

    Attributes:
        field: the field.
        sharpness: slope of its density at the last step.
        losses: last values by name, averaged over the last tenth of the steps.
        prior_s: seconds waited for the prior.
        prior_batch: mean number of latents that shared its passes.
    """

    field: VoxelField
    sharpness: float
    losses: dict[str, float]
    prior_s: float
    prior_batch: float


def fit(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    *,
    report: Callable[[Progress], None],
    checkpoint: Callable[[FitState], None] | None = None,
) -> Fitted:
    """Optimise to the end of the recipe, from wherever the state is.

    Args:
        scene: what stays fixed.
        state: what changes; left at the last step.
        recipe: all numbers.
        prior: answers the noise predictions.
        codec: pictures to latents, in this process, for the gradients.
        schedule: the prior's schedule.
        report: told about every step.
        checkpoint: given the state after every step; decides itself when to store it.

    Raises:
        OptimizationFailed: the losses are not finite any more.
    """
    config = recipe.optimize
    recent = RecentLosses(config.steps)
    while state.step < config.steps:
        done = state.step / config.steps
        _enter_step(state, recipe, done)
        if state.occupancy.box is None:
            raise OptimizationFailed(
                f"the field is empty or not finite at step {state.step}: nothing solid is left to optimise; "
                "use another seed or a cleaner cut-out"
            )
        losses = _losses(scene, state, recipe, prior, codec, schedule, done)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise OptimizationFailed(f"the losses are not finite at step {state.step}: {numbers(losses)}")
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        _step(state, config.density_rate)
        state.step += 1
        recent.add(numbers(losses))
        report(_progress(state, recipe, float(total.detach())))
        if checkpoint is not None:
            checkpoint(state)
    return Fitted(
        field=state.field,
        sharpness=config.sharpness[1],
        losses=recent.means(),
        prior_s=state.prior_s,
        prior_batch=state.prior_batch_sum / max(1, state.prior_calls),
    )


def _enter_step(state: FitState, recipe: Recipe, done: float) -> None:
    """Grid, learning rate and occupancy of this step."""
    config = recipe.optimize
    stage = min(int(done * len(config.resolutions)), len(config.resolutions) - 1)
    if state.field.resolution != config.resolutions[stage]:
        refine_grid(state, config.resolutions[stage], config)
    for group in state.optimizer.param_groups:
        group["lr"] = config.learning_rate * config.final_rate_fraction**done
    if state.step % OCCUPANCY_EVERY == 0:
        refresh_occupancy(state, sharpness(recipe, done))


@torch.no_grad()
def _step(state: FitState, density_rate: float) -> None:
    """One step of the optimiser, densities going only a share of the way.

    Raw densities are kept where the sigmoid still has a slope: matter can come back where it was taken away.
    """
    density_V = state.field.values_V4[:, 0]
    before_V = density_V.clone()
    state.optimizer.step()
    density_V.copy_(before_V.lerp(density_V, density_rate).clamp(-RAW_DENSITY_BOUND, RAW_DENSITY_BOUND))


def _losses(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    done: float,
) -> dict[str, Tensor]:
    """Weighted losses of one step, by name."""
    losses = reference_losses(scene, state, recipe, done) if scene.perception.pictured else {}
    if state.step >= recipe.optimize.warmup_steps:
        losses |= (
            novel_losses(scene, state, recipe, prior, codec, schedule, done)
            if scene.latent is None
            else latent_losses(scene, scene.latent, state, recipe, prior, schedule, codec.image_size, done)
        )
    return losses | _smoothness(scene, state, recipe)


def _smoothness(scene: Scene, state: FitState, recipe: Recipe) -> dict[str, Tensor]:
    """Regularisers of the grid itself, where there may be matter."""
    weights = recipe.losses
    volume = state.field.volume_RRR4()[state.occupancy.grid_region(state.field.resolution)]
    losses: dict[str, Tensor] = {}
    if weights.smooth_density:
        losses["smooth_density"] = weights.smooth_density * regularizers.laplacian(volume[..., :1])
    if weights.smooth_color:
        more = 1.0 if scene.latent is None else scene.latent.smoothing(state.field.voxel)
        losses["smooth_color"] = more * weights.smooth_color * regularizers.total_variation(volume[..., 1:])
    return losses


def reference_losses(scene: Scene, state: FitState, recipe: Recipe, done: float) -> dict[str, Tensor]:
    """Weighted losses of the photo's own view, by name; of a latent field the colours' are the latents'."""
    rays, weights = scene.rays, recipe.losses
    count = len(rays.alpha_P)
    chosen = torch.randint(count, (min(recipe.optimize.reference_rays, count),), generator=state.generator)
    chosen = chosen.to(rays.alpha_P.device)
    # One random colour behind both sides: what is not covered must be seen through.
    background = torch.rand(state.field.values_V4.shape[1] - 1, generator=state.generator).to(rays.rgb_P3)
    origins, directions = jittered(
        rays.origins_P3[chosen], rays.directions_P3[chosen], recipe.optimize.reference_jitter, state.generator
    )
    rendered = render_step(state, origins, directions, recipe, done, background=background)
    alpha = rays.alpha_P[chosen]
    if state.field.latent:
        assert scene.latent is not None
        color = photo_loss(scene.latent, state, recipe, done)
    else:
        wanted = rays.rgb_P3[chosen] * alpha[:, None] + background * (1 - alpha[:, None])
        color = (rendered.rgb_N3 - wanted).abs().mean()
    losses = {
        "color": weights.color * color,
        "mask": weights.mask * (rendered.opacity_N - alpha).square().mean(),
    }
    if weights.depth:
        solid = rays.solid_P[chosen] & (rendered.opacity_N.detach() > 0.5)
        # Correlated with disparity, not depth: its inverse is not affine-invariant (far pixels would dominate).
        losses["depth"] = weights.depth * (
            1 + regularizers.negative_pearson(-rendered.depth_N, rays.disparity_P[chosen], solid)
        )
    return losses


def _progress(state: FitState, recipe: Recipe, loss: float) -> Progress:
    progress = Progress(
        stage="optimize",
        step=state.step,
        steps=recipe.optimize.steps,
        loss=loss,
        prior_batch=state.prior_batch_sum / max(1, state.prior_calls),
        prior_s=state.prior_s,
    )
    # Latents have no colours until the field is painted.
    return progress if state.field.latent else Sight(**vars(progress), look=lambda: look(state, recipe))
