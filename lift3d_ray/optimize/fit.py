"""The optimisation loop: reference losses at every step, novel views pulled towards the prior's clean estimates.

Shape suffixes: B views, N rays, S picture side, R grid points along an axis.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.conditioning.prompts import view_prompts
from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.field.render import RenderedRays, render_rays
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance import regularizers
from lift3d_ray.guidance.sds import NovelViews, ask_prior, draw_timesteps, image_loss, latent_loss
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import FitState, refine_grid, refresh_occupancy
from lift3d_ray.recipes import Conditioning, Recipe
from lift3d_ray.types import Float32, Progress

OCCUPANCY_EVERY = 8
WHITE = 1.0
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
    recent: list[dict[str, float]] = []
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
            raise OptimizationFailed(f"the losses are not finite at step {state.step}: {_numbers(losses)}")
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        state.optimizer.step()
        _bound_density(state.field)
        state.step += 1
        recent = [*recent[-max(1, config.steps // 10) :], _numbers(losses)]
        report(_progress(state, config.steps, float(total.detach())))
        if checkpoint is not None:
            checkpoint(state)
    names = sorted({name for entry in recent for name in entry})
    return Fitted(
        field=state.field,
        sharpness=config.sharpness[1],
        losses={n: float(np.mean([e[n] for e in recent if n in e])) for n in names},
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
        refresh_occupancy(state, _sharpness(recipe, done))


@torch.no_grad()
def _bound_density(field: VoxelField) -> None:
    """Keep raw densities where the sigmoid still has a slope: matter can come back where it was taken away."""
    field.values_V4[:, 0].clamp_(-RAW_DENSITY_BOUND, RAW_DENSITY_BOUND)


def _sharpness(recipe: Recipe, done: float) -> float:
    """Slope of the density, growing geometrically."""
    first, last = recipe.optimize.sharpness
    return float(first * (last / first) ** done)


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
    losses = _reference_losses(scene, state, recipe, done)
    if recipe.guidance and state.step >= recipe.optimize.warmup_steps:
        losses |= _novel_losses(scene, state, recipe, prior, codec, schedule, done)
    return losses | _smoothness(state, recipe)


def _smoothness(state: FitState, recipe: Recipe) -> dict[str, Tensor]:
    """Regularisers of the grid itself, where there may be matter."""
    weights = recipe.losses
    volume = state.field.volume_RRR4()[state.occupancy.grid_region(state.field.resolution)]
    losses: dict[str, Tensor] = {}
    if weights.smooth_density:
        losses["smooth_density"] = weights.smooth_density * regularizers.laplacian(volume[..., :1])
    if weights.smooth_color:
        losses["smooth_color"] = weights.smooth_color * regularizers.total_variation(volume[..., 1:])
    return losses


def _reference_losses(scene: Scene, state: FitState, recipe: Recipe, done: float) -> dict[str, Tensor]:
    rays, weights = scene.rays, recipe.losses
    count = len(rays.alpha_P)
    chosen = torch.randint(count, (min(recipe.optimize.reference_rays, count),), generator=state.generator)
    chosen = chosen.to(rays.alpha_P.device)
    # One random colour behind both sides: what is not covered must be seen through.
    background = torch.rand(3, generator=state.generator).to(rays.rgb_P3)
    rendered = _render(
        state, rays.origins_P3[chosen], rays.directions_P3[chosen], recipe, done, background=background
    )
    alpha = rays.alpha_P[chosen]
    wanted = rays.rgb_P3[chosen] * alpha[:, None] + background * (1 - alpha[:, None])
    losses = {
        "color": weights.color * (rendered.rgb_N3 - wanted).abs().mean(),
        "mask": weights.mask * (rendered.opacity_N - alpha).square().mean(),
    }
    if weights.depth:
        solid = rays.solid_P[chosen] & (rendered.opacity_N.detach() > 0.5)
        # Correlated with disparity, not depth: its inverse is not affine-invariant (far pixels would dominate).
        losses["depth"] = weights.depth * (
            1 + regularizers.negative_pearson(-rendered.depth_N, rays.disparity_P[chosen], solid)
        )
    return losses


def _novel_losses(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    done: float,
) -> dict[str, Tensor]:
    azimuth, elevation = _draw_cameras(state, recipe, done)
    rendered, picture = _render_novel(state, recipe, codec, azimuth, elevation, done)
    wants_latent_gradient = recipe.losses.latent > 0
    with torch.set_grad_enabled(wants_latent_gradient):
        latents = codec.encode(picture if wants_latent_gradient else picture.detach())
    prompts = view_prompts(scene.caption, azimuth, elevation, reference_view=scene.reference_view)
    low, high = _timestep_range(recipe, done)
    started = time.perf_counter()
    clean = ask_prior(
        latents.detach().float().cpu().numpy(),
        NovelViews(
            prompts=prompts.prompts,
            negative_prompts=prompts.negative_prompts,
            azimuth_deg_B=azimuth,
            elevation_deg_B=elevation,
            reference_latents_CHW=scene.reference_latents_CHW,
            disparity_B1HW=_disparity(rendered, recipe, codec.image_size),
        ),
        recipe.guidance,
        prior,
        schedule,
        timesteps_B=draw_timesteps(schedule, low, high, len(azimuth), state.generator),
        noise_BCHW=torch.randn(tuple(latents.shape), generator=state.generator).numpy(),
    )
    state.prior_s += time.perf_counter() - started
    state.prior_batch_sum += clean.batch_size
    state.prior_calls += 1
    estimate = torch.from_numpy(clean.latents_BCHW).to(latents)
    weights = recipe.losses
    losses = {}
    if weights.latent:
        losses["sds_latent"] = weights.latent * latent_loss(latents, estimate)
    if weights.image:
        with torch.no_grad():
            target = codec.decode(estimate)
        losses["sds_image"] = weights.image * image_loss(picture, target)
    if weights.entropy:
        losses["entropy"] = weights.entropy * done * regularizers.alpha_entropy(rendered.opacity_N)
    if weights.opacity:
        losses["opacity"] = weights.opacity * regularizers.opacity(rendered.opacity_N)
    return losses


def _draw_cameras(state: FitState, recipe: Recipe, done: float) -> tuple[Float32, Float32]:
    """(B,) azimuths and elevations: spread evenly, the range widening from the photo's side to all round."""
    config = recipe.optimize
    reach = config.azimuth_start_deg + (180 - config.azimuth_start_deg) * min(1.0, 2 * done)
    draws = torch.rand(2, config.views, generator=state.generator).numpy()
    spread = (np.arange(config.views) + draws[0]) / config.views
    low, high = config.elevation_deg
    return (
        np.asarray(reach * (2 * spread - 1), dtype=np.float32),
        np.asarray(low + (high - low) * draws[1], dtype=np.float32),
    )


def _timestep_range(recipe: Recipe, done: float) -> tuple[float, float]:
    start, end = recipe.optimize.timestep_start, recipe.optimize.timestep_end
    return tuple(a + (b - a) * done for a, b in zip(start, end, strict=True))  # type: ignore[return-value]


def _render(
    state: FitState, origins_N3: Tensor, directions_N3: Tensor, recipe: Recipe, done: float, *, background: Tensor
) -> RenderedRays:
    return render_rays(
        state.field,
        origins_N3,
        directions_N3,
        n_samples=round(recipe.optimize.samples * state.field.resolution),
        sharpness=_sharpness(recipe, done),
        occupancy=state.occupancy,
        background=background,
        generator=state.generator,
    )


def _render_novel(
    state: FitState, recipe: Recipe, codec: LatentCodec, azimuth_B: Float32, elevation_B: Float32, done: float
) -> tuple[RenderedRays, Tensor]:
    """Rays of the novel views, and their pictures (B, 3, S, S) over white at the prior's size."""
    side, device = recipe.optimize.view_px, state.field.values_V4.device
    origins, directions = pixel_rays(orbit_c2w(azimuth_B, elevation_B), side)
    rendered = _render(
        state,
        torch.from_numpy(origins.reshape(-1, 3)).to(device),
        torch.from_numpy(directions.reshape(-1, 3)).to(device),
        recipe,
        done,
        background=torch.full((3,), WHITE, device=device),
    )
    picture = rendered.rgb_N3.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
    if side != codec.image_size:
        size = (codec.image_size, codec.image_size)
        picture = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)
    return rendered, picture


def _disparity(rendered: RenderedRays, recipe: Recipe, size: int) -> Float32 | None:
    """(B, 1, S, S) disparity of the renders in [0, 1], only where a guidance term is conditioned on depth."""
    if all(term.conditioning is not Conditioning.DEPTH for term in recipe.guidance):
        return None
    side = recipe.optimize.view_px
    depth = rendered.depth_N.detach().reshape(-1, 1, side, side).cpu()
    solid = rendered.opacity_N.detach().reshape(-1, 1, side, side).cpu() > 0.5
    result = torch.zeros_like(depth)
    for view in range(len(depth)):
        inside = solid[view]
        if inside.any():
            inverse = 1 / depth[view][inside].clamp_min(1e-3)
            span = (inverse.max() - inverse.min()).clamp_min(1e-6)
            result[view][inside] = (1 + 254 * (inverse - inverse.min()) / span) / 255
    enlarged = torch.nn.functional.interpolate(result, size=(size, size), mode="nearest")
    return np.asarray(enlarged.numpy(), dtype=np.float32)


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in losses.items()}


def _progress(state: FitState, steps: int, loss: float) -> Progress:
    return Progress(
        stage="optimize",
        step=state.step,
        steps=steps,
        loss=loss,
        prior_batch=state.prior_batch_sum / max(1, state.prior_calls),
        prior_s=state.prior_s,
    )
