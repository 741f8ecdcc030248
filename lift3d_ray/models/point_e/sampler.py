"""A picture to a coloured cloud: the base network draws, upsamplers add (Point-E: Nichol et al. 2022, section 4.3).

Shape suffixes: B clouds (always one), C channels, N points, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.errors import BundleError
from lift3d_ray.models.point_e.diffusion import PointDiffusion
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig, denoiser_of, draw
from lift3d_ray.models.point_e.transformer import CHANNELS, Condition, PointTransformer
from lift3d_ray.models.small_network import one_picture
from lift3d_ray.types import ColoredPoints, Float32, UInt8


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One network and how it is drawn from.

    Attributes:
        network: its weights, in evaluation mode.
        diffusion: the noise it was trained with.
        sampling: levels, churn and guidance.
    """

    network: PointTransformer
    diffusion: PointDiffusion
    sampling: KarrasConfig


class PointESampler:
    """Clouds behind plain values; meets the role ``PointCloudGuesser``.

    Args:
        stages: the base network, then upsamplers.
        grid: how pictures are seen.
        published: whether the networks are the published ones: their clouds stand upright along +Z in a cube, turned as
            the object's own front is, colours in [0, 255]. The embedded one's stand as the lift's world does.
    """

    def __init__(self, stages: Sequence[Stage], grid: PictureGrid, *, published: bool = False) -> None:
        for stage in stages:
            wanted = stage.network.config
            if wanted.condition is Condition.VECTOR or (
                wanted.condition is Condition.GRID and wanted.condition_width != grid.width
            ):
                raise BundleError(
                    f"a point cloud network wants a {wanted.condition.value} of width {wanted.condition_width}, the "
                    f"picture encoder gives a grid of width {grid.width}: put the CLIP that the network was trained "
                    "with into a folder 'clip' beside its weights (the published ones: ViT-L/14)"
                )
        self._stages, self._grid, self._published = tuple(stages), grid, published

    def in_steps(self, steps: int) -> PointESampler:
        """The same networks, drawn from in this many steps each."""
        stages = [replace(stage, sampling=replace(stage.sampling, steps=steps)) for stage in self._stages]
        return PointESampler(stages, self._grid, published=self._published)

    def guess_points(self, rgb_HWC: UInt8, *, seed: int) -> ColoredPoints:
        """Guess the surface of the subject of a crop over white, (S, S, 3) uint8, the subject filling most of it.

        Args:
            rgb_HWC: the crop.
            seed: of all noise; the same seed gives the same cloud on the same machine.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            tokens_BTD = self._grid.embed(one_picture(rgb_HWC))
        cloud_BCN: Tensor | None = None
        for stage in self._stages:
            fresh = draw_stage(stage, tokens_BTD, cloud_BCN, generator)
            cloud_BCN = fresh if cloud_BCN is None else torch.cat([cloud_BCN, fresh], dim=-1)
        assert cloud_BCN is not None
        cloud_NC = cloud_BCN[0].T.float().cpu().numpy()
        xyz_N3, rgb_N3 = cloud_NC[:, :3], cloud_NC[:, 3:]
        if self._published:
            xyz_N3, rgb_N3 = into_unit_ball(y_up(xyz_N3)), rgb_N3 / 255
        return ColoredPoints(
            xyz_N3=np.ascontiguousarray(xyz_N3, dtype=np.float32),
            rgb_N3=np.ascontiguousarray(rgb_N3.clip(0, 1), dtype=np.float32),
            faces_photo=not self._published,
        )


def draw_stage(
    stage: Stage, tokens_BTD: Tensor, low_res_BCM: Tensor | None, generator: torch.Generator
) -> Tensor:
    """(B, 6, N) new points of one network, in the data's own units.

    Args:
        stage: the network.
        tokens_BTD: (B, T, D) what is seen of the pictures.
        low_res_BCM: (B, 6, M) the points of the stages before; only upsamplers look at them.
        generator: of all noise, on the CPU.
    """
    config, like = stage.network.config, stage.network.input_proj.weight
    told = config.condition is Condition.GRID
    denoise = denoiser_of(
        stage.network,
        stage.diffusion,
        guidance_scale=stage.sampling.guidance_scale,
        condition_BTD=tokens_BTD.to(like) if told else None,
        low_res_BCM=low_res_BCM if config.low_res_points else None,
    )
    noise_BCN = torch.randn(len(tokens_BTD), CHANNELS, config.points, generator=generator).to(like)
    return stage.diffusion.from_model(draw(denoise, noise_BCN, stage.sampling, generator))


def y_up(xyz_N3: Float32) -> Float32:
    """(N, 3) positions whose up is +Z, with up along +Y."""
    return np.stack([xyz_N3[:, 0], xyz_N3[:, 2], -xyz_N3[:, 1]], axis=-1)


def into_unit_ball(xyz_N3: Float32) -> Float32:
    """(N, 3) positions moved and scaled as toys are: the box's middle at the origin, the farthest point at 1."""
    middle_3 = (xyz_N3.min(axis=0) + xyz_N3.max(axis=0)) / 2
    away_N3 = xyz_N3 - middle_3
    return np.asarray(away_N3 / max(1e-6, float(np.linalg.norm(away_N3, axis=1).max())), dtype=np.float32)
