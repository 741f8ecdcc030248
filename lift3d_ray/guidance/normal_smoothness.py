"""Surfaces are smooth: a step aside they face the same way.

Shape suffix: S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normal_smoothness(normals_S3: Tensor, beside_S3: Tensor, weight_S: Tensor, n_rays: int) -> Tensor:
    """``1/N sum stopgrad(w) |n(x) - n(x + step)|``, mean over the components (Make-It-3D).

    Args:
        normals_S3: (S, 3) outward unit normals at the samples.
        beside_S3: (S, 3) those a random step aside (``steps_aside``).
        weight_S: (S,) weights of the samples in their rays.
        n_rays: N, rays rendered, those without samples included.
    """
    return (weight_S.detach() * (normals_S3 - beside_S3).abs().mean(-1)).sum() / max(n_rays, 1)


def steps_aside(xyz_S3: Tensor, length: float, generator: torch.Generator) -> Tensor:
    """(S, 3) points beside the given ones, off by normal noise with this deviation along each axis.

    Make-It-3D steps 0.01 aside where the subject's radius is 0.18, a twentieth of it. Here the subject fills the unit
    ball and a voxel is that twentieth, so steps are voxels.

    Args:
        xyz_S3: (S, 3) world positions.
        length: deviation, world units.
        generator: draws on the CPU.
    """
    return xyz_S3 + length * torch.randn(xyz_S3.shape, generator=generator).to(xyz_S3)
