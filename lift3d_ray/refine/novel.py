"""What the pictures are compared with: the photo and its features in front, the prior's clean estimates all round.

Shape suffixes: V viewpoints, B viewpoints of a step, T tokens, D their width, S picture side.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lift3d_ray.guidance.clip_d import facing
from lift3d_ray.guidance.sds import NovelViews, ask_prior, draw_timesteps, image_loss
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.novel import describe_views
from lift3d_ray.optimize.scene import Scene, resized
from lift3d_ray.recipes import Recipe
from lift3d_ray.refine.losses import Trunk
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.refine.points import CANONICAL_RIM, eroded
from lift3d_ray.refine.viewpoints import disparity_pictures, mesh_views
from lift3d_ray.types import Mesh, Progress


@dataclass(kw_only=True)
class Asked:
    """What was asked of the prior so far: seconds waited, latents that shared its passes, calls."""

    seconds: float = 0.0
    batches: int = 0
    calls: int = 0

    @property
    def batch(self) -> float:
        """Mean number of latents that shared a pass."""
        return self.batches / max(1, self.calls)

    def progress(self, step: int, steps: int, loss: float) -> Progress:
        """A report of the refinement."""
        return Progress(stage="refine", step=step, steps=steps, loss=loss, prior_batch=self.batch, prior_s=self.seconds)


class Wanted:
    """The photo and its features, and what the prior is told of the other viewpoints.

    Args:
        scene: what stays fixed.
        mesh: the coarse result, for depth where the prior is conditioned on it.
        viewpoints: the photo's first.
        recipe: all numbers.
        codec: of the prior.
        trunk: features; None where there are none.
        device: where the pictures are.
    """

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
        self.trunk, self.scene, self._recipe = trunk, scene, recipe
        rgb = resized(subject.over(1.0).astype(np.float32) / 255, size)
        alpha = resized(subject.alpha_HW[..., None], size)[..., 0]
        self.rgb_3SS = torch.from_numpy(rgb).permute(2, 0, 1).to(device)
        self.mask_SS = torch.from_numpy(eroded(alpha > 0.5, CANONICAL_RIM).astype(np.float32)).to(device)
        with torch.no_grad():
            self.tokens_TD = None if trunk is None else trunk(self.rgb_3SS[None])[0]
        self.azimuth_V = np.array([v.azimuth_deg for v in viewpoints], dtype=np.float32)
        self.elevation_V = np.array([v.elevation_deg for v in viewpoints], dtype=np.float32)
        self.disparity_V1SS = (
            disparity_pictures(mesh_views(mesh, viewpoints, codec.image_size)) if recipe.asks_depth else None
        )

    def described(self, chosen: list[int]) -> NovelViews:
        """What the prior is told about some viewpoints."""
        disparity = None if self.disparity_V1SS is None else self.disparity_V1SS[chosen]
        return describe_views(self.scene, self.azimuth_V[chosen], self.elevation_V[chosen], disparity, self._recipe)

    def likeness(self, chosen: list[int]) -> Tensor:
        """(B,) how far each viewpoint should look like the photo: 1 in front, 0 behind."""
        return torch.from_numpy(facing(self.azimuth_V[chosen])).to(self.rgb_3SS)


def prior_loss(
    pictures_B3SS: Tensor,
    views: NovelViews,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    generator: torch.Generator,
    asked: Asked,
) -> Tensor:
    """Score distillation in pictures: the prior cleans the noised view, the view follows, at the prior's own size."""
    small = _at_size(pictures_B3SS, codec.image_size)
    with torch.no_grad():
        latents = codec.encode(small.clamp(0, 1).to(codec.device))
    started = time.perf_counter()
    clean = ask_prior(
        latents.float().cpu().numpy(),
        views,
        recipe.guidance,
        prior,
        schedule,
        timesteps_B=draw_timesteps(schedule, *recipe.refine.timesteps, len(latents), generator),
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
