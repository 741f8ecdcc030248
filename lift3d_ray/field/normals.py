"""Which way the field's surface faces.

Normals are taken from the *raw* density: what becomes of it is a rising function of it, so both have the same level
sets and the same normals, and raw density has a slope where matter has long gone opaque. The step of the differences is
one voxel either way, so it follows the grid and not the size of some other scene.

Shape suffixes: R grid points along an axis, V = R**3 grid points, N points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lift3d_ray.field.trilinear import interpolate
from lift3d_ray.field.voxels import VoxelField

FLAT = 0.01
"""Differences of raw density across two voxels far below this have no direction: their normal shrinks towards 0."""


def slopes(field: VoxelField) -> Tensor:
    """Central differences of the raw density across two voxels, at every grid point.

    Interpolated between grid points they are the central differences of the interpolated density, so that normals at
    any number of points cost one pass over the grid and one look-up each. Past the faces of the cube the density goes
    on as it is on them.

    Returns:
        (V, 3) along x, y, z; differentiable in the field's values.
    """
    raw = F.pad(field.volume_RRR4()[None, None, ..., 0], (1,) * 6, mode="replicate")[0, 0]
    inner = slice(1, -1)
    return torch.stack(
        [
            raw[2:, inner, inner] - raw[:-2, inner, inner],
            raw[inner, 2:, inner] - raw[inner, :-2, inner],
            raw[inner, inner, 2:] - raw[inner, inner, :-2],
        ],
        dim=-1,
    ).reshape(-1, 3)


def normals_at(slopes_V3: Tensor, xyz_N3: Tensor) -> Tensor:
    """Outward normals at points.

    Args:
        slopes_V3: (V, 3) from ``slopes``.
        xyz_N3: (N, 3) world positions, clamped to the cube. No gradient flows to them.

    Returns:
        (N, 3) world directions of length 1, shorter only where the density is all but constant.
    """
    slope_N3 = interpolate(slopes_V3, xyz_N3)
    return -slope_N3 / (slope_N3.square().sum(-1, keepdim=True) + FLAT**2).sqrt()
