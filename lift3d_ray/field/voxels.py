"""The radiance field: one dense grid of raw density and raw colour, trilinear in between.

Raw values become density and colour *after* interpolation (DVGO: Sun et al. 2022, "post-activation"), which lets one
voxel hold a sharp surface:

    sigma = sigma_max * sigmoid(sharpness * raw_density),    rgb = sigmoid(raw_rgb).

A *latent* field holds the C channels of a prior's latents in the colours' place. Latents are any numbers, so they stay
as they are: they are composited like colours, and a picture of them is what the prior takes, without an encoder.

The surface is where ``raw_density`` is 0, whatever the sharpness; annealing the sharpness upwards turns fog into a
solid without moving that surface. ``sigma_max`` follows the resolution so that one voxel of solid is nearly opaque.

Shape suffixes: R grid points along an axis, V = R**3 grid points, N points. Volumes are indexed [x, y, z].
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.field.trilinear import interpolate

VOXEL_THICKNESS = 4.0
"""Optical thickness of one voxel of solid: an opacity of 1 - exp(-4) = 98 %."""

CHANNELS = 4
"""Raw density, then raw red, green and blue; latent fields have others."""


class VoxelField(torch.nn.Module):
    """A cubic grid over [-1, 1]^3 whose outermost grid points lie on the cube's faces.

    Attributes:
        values_V4: (R**3, 4) contiguous parameter: raw density, raw red, raw green, raw blue; (R**3, 1 + C) of a latent
            field. Grid point (i, j, k) is row ``(i * R + j) * R + k`` and lies at world x, y, z = -1 + 2 (i, j, k) /
            (R - 1).
        resolution: R, grid points along an axis.
        latent: whether latents stand in the colours' place.
    """

    def __init__(self, values_V4: Tensor, *, latent: bool = False) -> None:
        """Wrap a table of raw values.

        Args:
            values_V4: (R**3, 4) floating point, (R**3, 1 + C) where latent; copied only where it is not contiguous.
            latent: whether latents stand in the colours' place.

        Raises:
            ConfigError: the table is not a cube of at least 2 grid points along an axis with these channels.
        """
        super().__init__()
        resolution = round(len(values_V4) ** (1 / 3)) if values_V4.ndim == 2 else 0
        known = resolution >= 2 and (values_V4.shape[1] >= 2 if latent else values_V4.shape[1] == CHANNELS)
        if not known or len(values_V4) != resolution**3:
            wanted = "(R**3, 1 + C), C >= 1" if latent else "(R**3, 4)"
            raise ConfigError(f"a voxel field needs values of shape {wanted}, R >= 2, got {tuple(values_V4.shape)}")
        self.resolution = resolution
        self.latent = latent
        self.values_V4 = torch.nn.Parameter(values_V4.detach().contiguous())

    @classmethod
    def from_volumes(
        cls,
        raw_density_RRR: NDArray[np.floating],
        raw_rgb_RRR3: NDArray[np.floating],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> VoxelField:
        """A field holding the given raw volumes.

        Args:
            raw_density_RRR: (R, R, R), positive inside, indexed [x, y, z].
            raw_rgb_RRR3: (R, R, R, 3) raw colours (logits of sRGB in [0, 1]).
            device: where the field shall live.
            dtype: of the field.
        """
        if raw_rgb_RRR3.shape != (*raw_density_RRR.shape, 3):
            raise ConfigError(
                f"colours must be (R, R, R, 3) over a density of {raw_density_RRR.shape}, got {raw_rgb_RRR3.shape}"
            )
        values = np.concatenate([raw_density_RRR[..., None], raw_rgb_RRR3], axis=-1).reshape(-1, CHANNELS)
        return cls(torch.as_tensor(np.ascontiguousarray(values), device=device, dtype=dtype))

    @property
    def voxel(self) -> float:
        """Distance between neighbouring grid points, world units."""
        return 2.0 / (self.resolution - 1)

    @property
    def sigma_max(self) -> float:
        """Density of solid matter, per world unit."""
        return VOXEL_THICKNESS / self.voxel

    def volume_RRR4(self) -> Tensor:
        """The values as (R, R, R, 4) or (R, R, R, 1 + C), indexed [x, y, z]: a view, differentiable."""
        return self.values_V4.view(self.resolution, self.resolution, self.resolution, self.values_V4.shape[1])

    def upsampled(self, resolution: int) -> VoxelField:
        """A new field of another resolution with the same raw values, trilinear in between.

        Args:
            resolution: grid points along an axis, at least 2.
        """
        finer = _resample(self.volume_RRR4(), resolution)
        return VoxelField(finer.reshape(-1, finer.shape[-1]), latent=self.latent)

    def extra_repr(self) -> str:
        """What ``repr`` says inside the parentheses."""
        return f"resolution={self.resolution}"


def activate(
    raw_N4: Tensor, *, sigma_max: float, sharpness: float, latent: bool = False
) -> tuple[Tensor, Tensor]:
    """Density and colour of raw values.

    Args:
        raw_N4: (..., 4) raw density and raw colour.
        sigma_max: density of solid matter, per world unit.
        sharpness: slope of the density's sigmoid, positive.
        latent: whether latents stand in the colours' place.

    Returns:
        sigma (...,) in [0, sigma_max] per world unit, and rgb (..., 3) sRGB in [0, 1], or latents (..., C).
    """
    sigma = torch.sigmoid(raw_N4[..., 0] * sharpness) * sigma_max
    return sigma, raw_N4[..., 1:] if latent else torch.sigmoid(raw_N4[..., 1:])


def query(field: VoxelField, xyz_N3: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Density and colour at points.

    Args:
        field: the field.
        xyz_N3: (N, 3) world positions, the field's dtype and device; clamped to the cube. No gradient flows to them.
        sharpness: slope of the density's sigmoid, positive.

    Returns:
        sigma_N per world unit, rgb_N3 sRGB in [0, 1] or (N, C) latents; differentiable in the field's values.
    """
    raw_N4 = interpolate(field.values_V4, xyz_N3)
    return activate(raw_N4, sigma_max=field.sigma_max, sharpness=sharpness, latent=field.latent)


def raw_density_grid(field: VoxelField, resolution: int | None = None) -> Tensor:
    """Raw density on a grid over the cube, detached: its zero level is the surface.

    Args:
        field: the field.
        resolution: grid points along an axis; the field's own if None.

    Returns:
        (R, R, R) indexed [x, y, z].
    """
    raw = field.volume_RRR4().detach()[..., :1]
    return _resample(raw, field.resolution if resolution is None else resolution)[..., 0]


def density_grid(field: VoxelField, resolution: int, sharpness: float) -> Tensor:
    """Density on a grid over the cube, detached.

    Args:
        field: the field.
        resolution: grid points along an axis.
        sharpness: slope of the density's sigmoid, positive.

    Returns:
        (R, R, R) per world unit, indexed [x, y, z].
    """
    return torch.sigmoid(raw_density_grid(field, resolution) * sharpness) * field.sigma_max


def _resample(volume_RRRC: Tensor, resolution: int) -> Tensor:
    if resolution < 2:
        raise ConfigError(f"a grid needs at least 2 points along an axis, got {resolution}")
    if resolution == volume_RRRC.shape[0]:
        return volume_RRRC.detach().clone()
    channels_first = volume_RRRC.detach().permute(3, 0, 1, 2)[None]
    finer = F.interpolate(channels_first, size=(resolution,) * 3, mode="trilinear", align_corners=True)
    return finer[0].permute(1, 2, 3, 0).contiguous()
