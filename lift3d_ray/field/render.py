"""Volume rendering of the field: one call, the same on CPU and CUDA.

On CPU ``packing`` finds the samples worth evaluating and ``compositing`` sums them through nerfacc's batched functions;
on CUDA ``marching`` does both through nerfacc's occupancy grid and packed functions. Both take the same samples.

    w_i = T_i (1 - exp(-sigma_i delta_i)),    T_i = exp(-sum_{j<i} sigma_j delta_j)    (Max 1995; NeRF eq. 3)

Shape suffixes: N rays, M rays that met an occupied cell, K samples of the fullest of those, P packed samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, pixel_rays
from lift3d_ray.field.compositing import composite
from lift3d_ray.field.marching import march_rays
from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.packing import sample_table
from lift3d_ray.field.trilinear import interpolate_columns
from lift3d_ray.field.voxels import VoxelField

MIN_OPACITY = 1e-3
"""Rays more transparent than this have no depth."""


@dataclass(frozen=True, kw_only=True)
class RenderedRays:
    """Rays rendered, differentiable in the field's values.

    Attributes:
        rgb_N3: (N, 3) sRGB in [0, 1], over the background; (N, C) latents of a latent field.
        opacity_N: (N,) accumulated opacity in [0, 1].
        depth_N: (N,) expected z-depth of what was hit; 0 where the ray is all but transparent.
        weights_MK: (M, K) weights of the samples, 0 in the padding; rows are the rays of ``rays_M``.
        t_MK: (M, K) their z-depths, 0 in the padding.
        rays_M: (M,) int64 indices, ascending, of the rays that met an occupied cell.
        n_evaluated: samples at which the field was evaluated.
    """

    rgb_N3: Tensor
    opacity_N: Tensor
    depth_N: Tensor
    weights_MK: Tensor
    t_MK: Tensor
    rays_M: Tensor
    n_evaluated: int


@dataclass(frozen=True, kw_only=True)
class RenderedView:
    """One square picture, without gradients.

    Attributes:
        rgb_HW3: (H, W, 3) sRGB in [0, 1], over the background.
        opacity_HW: (H, W) in [0, 1].
        depth_HW: (H, W) z-depth, 0 where transparent.
    """

    rgb_HW3: Tensor
    opacity_HW: Tensor
    depth_HW: Tensor


def render_rays(
    field: VoxelField,
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    *,
    n_samples: int,
    sharpness: float,
    background: Tensor,
    occupancy: Occupancy | None = None,
    generator: torch.Generator | None = None,
) -> RenderedRays:
    """Render rays.

    Args:
        field: the field; its dtype and device are those of everything else.
        rays_o_N3: (N, 3) origins, world.
        rays_d_N3: (N, 3) directions of length 1 along the viewing axis (``cameras.pixel_rays``).
        n_samples: samples along the diameter of the field's ball; about one a voxel is enough.
        sharpness: slope of the density's sigmoid.
        background: (N, 3) or (3,) sRGB behind the subject; (N, C) or (C,) latents of a latent field.
        occupancy: cells that may hold matter; None = all.
        generator: shifts the samples of each ray by a random part of a step; None = midpoints, reproducible.
    """
    where = occupancy or Occupancy.full(device=rays_o_N3.device)
    if rays_o_N3.device.type == "cpu":
        return _render_packed(field, rays_o_N3, rays_d_N3, n_samples, sharpness, background, where, generator)
    marched = march_rays(
        field,
        rays_o_N3,
        rays_d_N3,
        n_samples=n_samples,
        sharpness=sharpness,
        occupancy=where,
        generator=generator,
    )
    return RenderedRays(
        rgb_N3=marched.rgb_N3 + (1.0 - marched.opacity_N)[:, None] * background,
        opacity_N=marched.opacity_N,
        depth_N=expected_depth(marched.distance_N, marched.opacity_N),
        weights_MK=marched.weights_MK,
        t_MK=marched.t_MK,
        rays_M=marched.rays_M,
        n_evaluated=marched.n_evaluated,
    )


def _render_packed(
    field: VoxelField,
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    n_samples: int,
    sharpness: float,
    background: Tensor,
    occupancy: Occupancy,
    generator: torch.Generator | None,
) -> RenderedRays:
    table = sample_table(rays_o_N3, rays_d_N3, n_samples=n_samples, occupancy=occupancy, generator=generator)
    raw_P4 = interpolate_columns(field.values_V4, table.xyz_3P)
    rgb_M3, opacity_M, distance_M, weights_MK = composite(
        raw_P4, table, sigma_max=field.sigma_max, sharpness=sharpness, latent=field.latent
    )
    depth_M = expected_depth(distance_M, opacity_M)
    seen_M5 = torch.cat([rgb_M3, opacity_M[:, None], depth_M[:, None]], dim=-1)
    seen_N5 = seen_M5.new_zeros(len(rays_o_N3), seen_M5.shape[1]).index_copy(0, table.rays_M, seen_M5)
    rgb_N3, opacity_N1, depth_N1 = seen_N5.split([rgb_M3.shape[1], 1, 1], dim=-1)
    return RenderedRays(
        rgb_N3=rgb_N3 + (1.0 - opacity_N1) * background,
        opacity_N=opacity_N1[:, 0],
        depth_N=depth_N1[:, 0],
        weights_MK=weights_MK,
        t_MK=table.t_MK,
        rays_M=table.rays_M,
        n_evaluated=len(table.place_P),
    )


def expected_depth(distance_N: Tensor, opacity_N: Tensor) -> Tensor:
    """Mean z-depth of what rays hit, from their sums of weight times z-depth; 0 where they are all but transparent."""
    depth_N = distance_N / opacity_N.clamp_min(MIN_OPACITY)
    return torch.where(opacity_N > MIN_OPACITY, depth_N, torch.zeros_like(depth_N))


def render_view(
    field: VoxelField,
    c2w_44: NDArray[np.float32],
    size: int,
    *,
    sharpness: float,
    n_samples: int,
    background: Tensor | None = None,
    framing: Framing = CANONICAL,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    occupancy: Occupancy | None = None,
    chunk_rays: int = 16384,
) -> RenderedView:
    """Render one square picture, without gradients.

    Args:
        field: the field.
        c2w_44: (4, 4) camera-to-world.
        size: picture side in pixels.
        sharpness: slope of the density's sigmoid.
        n_samples: samples along the diameter of the field's ball.
        background: (3,) sRGB; white if None.
        framing: zoom and shift of the picture.
        fovy_deg: field of view of the unframed camera, degrees.
        occupancy: cells that may hold matter; None = all.
        chunk_rays: rays rendered at once, a bound on memory.
    """
    values = field.values_V4
    origins, directions = pixel_rays(c2w_44[None], size, fovy_deg=fovy_deg, framing=framing)
    rays_o = torch.as_tensor(origins.reshape(-1, 3)).to(values)
    rays_d = torch.as_tensor(directions.reshape(-1, 3)).to(values)
    behind = values.new_ones(3) if background is None else background.to(values)
    with torch.no_grad():
        parts = [
            render_rays(field, o, d, n_samples=n_samples, sharpness=sharpness, background=behind, occupancy=occupancy)
            for o, d in zip(rays_o.split(chunk_rays), rays_d.split(chunk_rays), strict=True)
        ]
    return RenderedView(
        rgb_HW3=torch.cat([p.rgb_N3 for p in parts]).view(size, size, 3),
        opacity_HW=torch.cat([p.opacity_N for p in parts]).view(size, size),
        depth_HW=torch.cat([p.depth_N for p in parts]).view(size, size),
    )
