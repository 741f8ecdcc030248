"""The refinement loop: points and renderer pulled by the photo in front and by the prior all round.

The viewpoints are fixed, so what each of them sees is found once; a step draws descriptors, not geometry.

Shape suffixes: V viewpoints, B viewpoints of a step, N points, S picture side.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lift3d_ray.conditioning.prompts import view_prompts
from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.guidance.sds import NovelViews, ask_prior, draw_timesteps, image_loss
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.scene import Scene, resized
from lift3d_ray.recipes import Conditioning, GuidanceTerm, Recipe, RefineConfig
from lift3d_ray.refine import losses
from lift3d_ray.refine.losses import Trunk
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.refine.points import CANONICAL_RIM, TexturedPoints, eroded, textured_points
from lift3d_ray.refine.rasterize import SCALES, Splats, coverage, draw, splat_scales
from lift3d_ray.refine.renderer import COLORS, DeferredRenderer
from lift3d_ray.refine.viewpoints import disparity_pictures, mesh_views, photo_viewpoint, viewpoints_around
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
    cloud = _Cloud(points, around, config, generator, device)
    wanted = _Wanted(scene, mesh, around, recipe, codec, trunk, device)
    optimizer = torch.optim.Adam(cloud.groups(), betas=(0.9, 0.99), eps=1e-15)
    before = cloud.pictures()
    asked, recent = _Asked(), list[dict[str, float]]()
    for step in range(config.steps):
        terms = _losses(cloud, wanted, recipe, prior, codec, schedule, generator, asked)
        total = torch.stack(list(terms.values())).sum()
        numbers = {name: float(value.detach()) for name, value in terms.items()}
        if not torch.isfinite(total):
            raise OptimizationFailed(f"the losses are not finite at step {step} of the refinement: {numbers}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        recent = [*recent[-max(1, config.steps // 10) :], numbers]
        report(asked.progress(step + 1, config.steps, float(total.detach())))
    names = sorted({name for entry in recent for name in entry})
    return Refined(
        points=points,
        viewpoints=around,
        before_VSSC=before,
        after_VSSC=cloud.pictures(),
        covered_VSS=np.stack([coverage(scales[0]).cpu().numpy() for scales in cloud.splats]),
        losses={f"refine_{n}": float(np.mean([e[n] for e in recent if n in e])) for n in names},
        prior_s=asked.seconds,
        prior_batch=asked.batch,
    )


@dataclass(kw_only=True)
class _Asked:
    """What was asked of the prior so far."""

    seconds: float = 0.0
    batches: int = 0
    calls: int = 0

    @property
    def batch(self) -> float:
        return self.batches / max(1, self.calls)

    def progress(self, step: int, steps: int, loss: float) -> Progress:
        return Progress(stage="refine", step=step, steps=steps, loss=loss, prior_batch=self.batch, prior_s=self.seconds)


class _Cloud:
    """What is learnt: colours and descriptors of the points, the background's descriptor, the renderer."""

    def __init__(
        self,
        points: TexturedPoints,
        viewpoints: tuple[Viewpoint, ...],
        config: RefineConfig,
        generator: torch.Generator,
        device: torch.device | str,
    ) -> None:
        self.config, self.viewpoints = config, viewpoints
        self.first_N3 = torch.from_numpy(points.rgb_N3).to(device)
        self.colors_N3 = nn.Parameter(self.first_N3.clone())
        learnt = torch.randn(len(points.rgb_N3), config.descriptors, generator=generator)
        self.learnt_ND = nn.Parameter(learnt.to(device))
        self.behind_D = nn.Parameter(torch.zeros(config.descriptors, device=device))
        renderer = DeferredRenderer(COLORS + config.descriptors, width=config.width, generator=generator)
        self.renderer = renderer.to(device)
        held = np.where(points.canonical_N, config.anchor_seen, config.anchor).astype(np.float32)
        self.held_N = torch.from_numpy(held).to(device)
        self.splats = [
            splat_scales(
                points.xyz_N3,
                viewpoint,
                size=config.size_px,
                radius_px=config.radius * config.size_px / config.point_px,
                nearest=config.nearest,
                device=device,
            )
            for viewpoint in viewpoints
        ]

    def groups(self) -> list[dict[str, object]]:
        rate = self.config.learning_rate
        return [
            {"params": [*self.renderer.parameters(), self.learnt_ND, self.behind_D], "lr": rate},
            {"params": [self.colors_N3], "lr": self.config.color_rate},
        ]

    def render(self, chosen: list[int]) -> Tensor:
        """(B, 3, S, S) pictures from some viewpoints, not clipped."""
        descriptors = torch.cat([self.colors_N3, self.learnt_ND], dim=1)
        background = torch.cat([torch.ones_like(self.behind_D[:1]).expand(COLORS), self.behind_D])
        drawn = [
            torch.stack([draw(descriptors, background, self.splats[v][scale]) for v in chosen])
            for scale in range(len(SCALES))
        ]
        pictures: Tensor = self.renderer(drawn)
        return pictures

    def covered(self, chosen: list[int]) -> Tensor:
        """(B, S, S) share of each pixel that points cover."""
        return torch.stack([_of(self.splats[v]) for v in chosen])

    @torch.no_grad()
    def pictures(self) -> Float32:
        """(V, S, S, 3) float32 in [0, 1] pictures from all viewpoints, one at a time."""
        found = [self.render([v])[0].clamp(0, 1).permute(1, 2, 0) for v in range(len(self.viewpoints))]
        return np.asarray(torch.stack(found).float().cpu().numpy(), dtype=np.float32)


def _of(scales: tuple[Splats, ...]) -> Tensor:
    return coverage(scales[0])


class _Wanted:
    """What the pictures are compared with: the photo, its features, and what the prior is told."""

    def __init__(
        self,
        scene: Scene,
        mesh: Mesh,
        viewpoints: tuple[Viewpoint, ...],
        recipe: Recipe,
        codec: LatentCodec,
        trunk: Trunk | None,
        device: torch.device | str,
    ) -> None:
        subject, size = scene.perception.subject, recipe.refine.size_px
        self.trunk, self.scene = trunk, scene
        rgb = resized(subject.over(1.0).astype(np.float32) / 255, size)
        alpha = resized(subject.alpha_HW[..., None], size)[..., 0]
        self.rgb_3SS = torch.from_numpy(rgb).permute(2, 0, 1).to(device)
        self.mask_SS = torch.from_numpy(eroded(alpha > 0.5, CANONICAL_RIM).astype(np.float32)).to(device)
        with torch.no_grad():
            self.tokens_TD = None if trunk is None else trunk(self.rgb_3SS[None])[0]
        self.azimuth_V = np.array([v.azimuth_deg for v in viewpoints], dtype=np.float32)
        self.elevation_V = np.array([v.elevation_deg for v in viewpoints], dtype=np.float32)
        deep = any(term.conditioning is Conditioning.DEPTH for term in recipe.guidance)
        self.disparity_V1SS = disparity_pictures(mesh_views(mesh, viewpoints, codec.image_size)) if deep else None

    def described(self, chosen: list[int]) -> NovelViews:
        """What the prior is told about some viewpoints."""
        azimuth, elevation = self.azimuth_V[chosen], self.elevation_V[chosen]
        view = self.scene.reference_view
        prompts = view_prompts(self.scene.caption, azimuth, elevation, reference_view=view)
        return NovelViews(
            prompts=prompts.prompts,
            negative_prompts=prompts.negative_prompts,
            azimuth_deg_B=azimuth,
            elevation_deg_B=elevation,
            reference=self.scene.reference,
            disparity_B1HW=None if self.disparity_V1SS is None else self.disparity_V1SS[chosen],
        )

    def likeness(self, chosen: list[int]) -> Tensor:
        """(B,) how far each viewpoint should look like the photo: 1 in front, 0 behind."""
        turned = torch.from_numpy(np.abs(self.azimuth_V[chosen])).to(self.rgb_3SS)
        return 1 - turned / 180


def _losses(
    cloud: _Cloud,
    wanted: _Wanted,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    asked: _Asked,
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
        terms["prior"] = config.prior * _prior_loss(
            novel, views, recipe.guidance, config, prior, codec, schedule, generator, asked
        )
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


def _prior_loss(
    pictures_B3SS: Tensor,
    views: NovelViews,
    guidance: tuple[GuidanceTerm, ...],
    config: RefineConfig,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    asked: _Asked,
) -> Tensor:
    """Score distillation in pictures: the prior cleans the noised view, the view follows, at the prior's own size."""
    small = _at_size(pictures_B3SS, codec.image_size)
    with torch.no_grad():
        latents = codec.encode(small.clamp(0, 1).to(codec.device))
    started = time.perf_counter()
    clean = ask_prior(
        latents.float().cpu().numpy(),
        views,
        guidance,
        prior,
        schedule,
        timesteps_B=draw_timesteps(schedule, *config.timesteps, len(latents), generator),
        noise_BCHW=torch.randn(tuple(latents.shape), generator=generator).numpy(),
    )
    asked.seconds, asked.batches = asked.seconds + time.perf_counter() - started, asked.batches + clean.batch_size
    asked.calls += 1
    with torch.no_grad():
        target = codec.decode(torch.from_numpy(clean.latents_BCHW).to(latents))
    return image_loss(small, target.to(small))


def _at_size(pictures_B3SS: Tensor, size: int) -> Tensor:
    """The pictures at another side: averaged when shrinking, bilinear when enlarging."""
    if size == pictures_B3SS.shape[-1]:
        return pictures_B3SS
    if size < pictures_B3SS.shape[-1]:
        return interpolate(pictures_B3SS, size=(size, size), mode="area")
    return interpolate(pictures_B3SS, size=(size, size), mode="bilinear", align_corners=False)
