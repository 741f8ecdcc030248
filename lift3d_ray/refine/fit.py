"""The refinement loop: points and renderer pulled by the photo in front and by the prior all round.

Shape suffixes: V viewpoints, B viewpoints of a step, N points, S picture side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.recent import RecentLosses, numbers
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.recipes import Recipe, RefineConfig
from lift3d_ray.refine import losses
from lift3d_ray.refine.cloud import Cloud
from lift3d_ray.refine.losses import Trunk
from lift3d_ray.refine.novel import Asked, Wanted, prior_loss
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.refine.points import TexturedPoints, textured_points
from lift3d_ray.refine.viewpoints import photo_viewpoint, viewpoints_around
from lift3d_ray.types import Float32, Mesh, Progress


@dataclass(frozen=True, kw_only=True)
class Refined:
    """A refined cloud, as its viewpoints see it.

    Attributes:
        points: the cloud that was refined, with its first colours.
        viewpoints: V of them, the photo's first.
        before_VSSC: (V, S, S, 3) float32 what they saw at first, over white.
        after_VSSC: (V, S, S, 3) float32 in [0, 1] what they see now.
        covered_VSS: (V, S, S) float32 share of each pixel that points cover.
        losses: last values by name, averaged over the last tenth of the steps.
        prior_s: seconds waited for the prior.
        prior_batch: mean number of latents that shared its passes.
    """

    points: TexturedPoints
    viewpoints: tuple[Viewpoint, ...]
    before_VSSC: Float32
    after_VSSC: Float32
    covered_VSS: Float32
    losses: dict[str, float]
    prior_s: float
    prior_batch: float


def refine(
    scene: Scene,
    mesh: Mesh,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    *,
    trunk: Trunk | None,
    generator: torch.Generator,
    report: Callable[[Progress], None],
    device: torch.device | str = "cpu",
) -> Refined:
    """Refine the colours of a coarse result.

    Args:
        scene: what stays fixed.
        mesh: the coarse result; its surface stays as it is.
        recipe: all numbers, those of ``recipe.refine`` above all.
        prior: answers the noise predictions.
        codec: pictures to latents, in this process.
        schedule: the prior's schedule.
        trunk: features that novel views are compared to the photo by; None leaves those losses out.
        generator: of every random number of the stage; on the CPU.
        report: told about every step.
        device: where the points are drawn.

    Raises:
        OptimizationFailed: the losses are not finite any more, or no viewpoint sees the mesh.
    """
    config = recipe.refine
    photo = photo_viewpoint(scene.c2w_44, scene.pose.elevation_deg, scene.pose.framing)
    around = viewpoints_around(photo, config.viewpoints, recipe.optimize.elevation_deg)
    points = textured_points(mesh, scene.perception.subject, around, size=config.point_px)
    cloud = Cloud(points, around, config, generator, device)
    wanted = Wanted(scene, mesh, around, recipe, codec, trunk, device)
    optimizer = torch.optim.Adam(cloud.groups(), betas=(0.9, 0.99), eps=1e-15)
    before = cloud.pictures()
    asked, recent = Asked(), RecentLosses(config.steps)
    for step in range(config.steps):
        terms = _losses(cloud, wanted, recipe, prior, codec, schedule, generator, asked)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise OptimizationFailed(f"the losses are not finite at step {step} of the refinement: {numbers(terms)}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        recent.add(numbers(terms))
        report(asked.progress(step + 1, config.steps, float(total.detach())))
    return Refined(
        points=points,
        viewpoints=around,
        before_VSSC=before,
        after_VSSC=cloud.pictures(),
        covered_VSS=cloud.covered(range(len(around))).cpu().numpy(),
        losses={f"refine_{name}": mean for name, mean in recent.means().items()},
        prior_s=asked.seconds,
        prior_batch=asked.batch,
    )


def _losses(
    cloud: Cloud,
    wanted: Wanted,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    asked: Asked,
) -> dict[str, Tensor]:
    """Weighted losses of one step, by name: the photo's view, and some of the others."""
    config = recipe.refine
    chosen = _choose(config, generator)
    pictures = cloud.render([0, *chosen])
    novel = pictures[1:]
    white = losses.white_background(pictures, cloud.covered([0, *chosen]))
    terms = {
        "color": config.reference * losses.masked_error(pictures[0], wanted.rgb_3SS, wanted.mask_SS),
        "background": config.background * white,
        "anchor": losses.color_anchor(cloud.colors_N3, cloud.first_N3, cloud.held_N),
    }
    if recipe.guidance and config.prior:
        views = wanted.described(chosen)
        error = prior_loss(novel, views, recipe, prior, codec, schedule, generator, asked)
        terms["prior"] = config.prior * error
    if wanted.trunk is not None and wanted.tokens_TD is not None and config.similarity + config.contextual > 0:
        tokens, weight = wanted.trunk(novel.clamp(0, 1)), wanted.likeness(chosen)
        terms["similarity"] = config.similarity * losses.dissimilarity(tokens, wanted.tokens_TD, weight)
        terms["contextual"] = config.contextual * losses.contextual(tokens, wanted.tokens_TD, weight)
    return terms


def _choose(config: RefineConfig, generator: torch.Generator) -> list[int]:
    """Some viewpoints beside the photo's, spread evenly around."""
    spread = (torch.arange(config.views) + torch.rand(1, generator=generator)) * config.viewpoints / config.views
    chosen: list[int] = (1 + spread.to(torch.int64) % config.viewpoints).tolist()
    return chosen
