"""Volume rendering of the field: one call, the same on CPU and CUDA.

On CPU a torch sampler skips empty cells, evaluates the field at the samples that are left, and packs them to the left
of a (rays, samples) table, which nerfacc's batched functions composite. Gaps hold no matter, so packing is exact.
On CUDA nerfacc's ``OccGridEstimator`` marches the rays and its packed functions composite.

    w_i = T_i (1 - exp(-sigma_i delta_i)),    T_i = exp(-sum_{j<i} sigma_j delta_j)    (Max 1995; NeRF eq. 3)

Shape suffixes: N rays, M rays that met an occupied cell, K samples of the fullest of those, P packed samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from nerfacc.volrend import accumulate_along_rays, render_weight_from_density
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, pixel_rays
from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.rays import Box, sample_rays
from lift3d_ray.field.trilinear import interpolate_columns
from lift3d_ray.field.voxels import VoxelField, activate

MIN_OPACITY = 1e-3
"""Rays more transparent than this have no depth."""

OPAQUE_THICKNESS = 10.0
"""Rays that have certainly crossed this optical thickness stop: what lies behind weighs less than exp(-10)."""

NOWHERE: Box = ((3.0, 3.0, 3.0), (2.0, 2.0, 2.0))
"""A box that no ray meets."""


@dataclass(frozen=True, kw_only=True)
class RenderedRays:
    """Rays rendered, differentiable in the field's values.

    Attributes:
        rgb_N3: (N, 3) sRGB in [0, 1], over the background.
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
        background: (N, 3) or (3,) sRGB behind the subject.
        occupancy: cells that may hold matter; None = all.
        generator: shifts the samples of each ray by a random part of a step; None = midpoints, reproducible.
    """
    table = _sample_table(
        rays_o_N3, rays_d_N3, n_samples, occupancy or Occupancy.full(device=rays_o_N3.device), generator
    )
    raw_P4 = interpolate_columns(field.values_V4, table.xyz_3P)
    sigma_P, rgb_P3 = activate(raw_P4, sigma_max=field.sigma_max, sharpness=sharpness)
    return _composite(table, sigma_P, rgb_P3, background, len(rays_o_N3))


@dataclass(frozen=True, kw_only=True)
class _SampleTable:
    """Samples in occupied cells, packed in ray order, and their places in a table with a row for each ray met.

    Attributes:
        xyz_3P: (3, P) positions.
        place_P: (P,) flat place of each sample in the (M, K) table.
        t_MK: (M, K) z-depths, 0 in the padding.
        step: world length that a sample stands for.
        rays_M: (M,) indices of the rays.
    """

    xyz_3P: Tensor
    place_P: Tensor
    t_MK: Tensor
    step: float
    rays_M: Tensor


@torch.no_grad()
def _sample_table(
    rays_o_N3: Tensor, rays_d_N3: Tensor, n_samples: int, occupancy: Occupancy, generator: torch.Generator | None
) -> _SampleTable:
    samples = sample_rays(rays_o_N3, rays_d_N3, n_samples=n_samples, box=occupancy.box or NOWHERE, generator=generator)
    o_H3, d_H3 = (v.index_select(0, samples.rays_H) for v in (rays_o_N3, rays_d_N3))
    xyz = [torch.addcmul(o_H3[:, a, None], samples.t_HK, d_H3[:, a, None]) for a in range(3)]
    floor_HK = occupancy.floor_at(*xyz)
    keep_HK = samples.valid_HK & (floor_HK >= 0)
    if occupancy.sigma_floor_GGG is not None:
        thickness_HK = floor_HK.clamp_min_(0.0).mul_(samples.step)
        keep_HK &= thickness_HK.cumsum(1).sub_(thickness_HK) < OPAQUE_THICKNESS
    flat_P = torch.from_numpy(keep_HK.view(-1).numpy().nonzero()[0])
    row_P = torch.div(flat_P, keep_HK.shape[1], rounding_mode="floor")
    count_H = torch.bincount(row_P, minlength=len(samples.rays_H))
    # Rays that met matter become rows without gaps; a sample's column is its rank on its ray.
    met_H = count_H > 0
    width = int(count_H.amax()) if len(count_H) else 0
    first_H = (met_H.cumsum(0) - 1) * width - (count_H.cumsum(0) - count_H)
    place_P = torch.arange(len(flat_P)) + first_H.index_select(0, row_P)
    t_MK = samples.t_HK.new_zeros(int(met_H.sum()), width)
    t_MK.view(-1).index_copy_(0, place_P, samples.t_HK.view(-1).index_select(0, flat_P))
    xyz_3P = torch.stack([c.view(-1).index_select(0, flat_P) for c in xyz])
    return _SampleTable(xyz_3P=xyz_3P, place_P=place_P, t_MK=t_MK, step=samples.step, rays_M=samples.rays_H[met_H])


def _composite(table: _SampleTable, sigma_P: Tensor, rgb_P3: Tensor, background: Tensor, n_rays: int) -> RenderedRays:
    rows, width = table.t_MK.shape
    sigma_MK = sigma_P.new_zeros(rows * width).index_put((table.place_P,), sigma_P).view(rows, width)
    rgb_MK3 = rgb_P3.new_zeros(rows * width, 3).index_put((table.place_P,), rgb_P3).view(rows, width, 3)
    # Optical thickness counts world units: every sample stands for the same step, wherever it lies.
    starts_MK = torch.zeros_like(table.t_MK)
    weights_MK, _, _ = render_weight_from_density(starts_MK, starts_MK + table.step, sigma_MK)
    opacity_M = accumulate_along_rays(weights_MK)[:, 0]
    rgb_M3 = accumulate_along_rays(weights_MK, rgb_MK3)
    distance_M = accumulate_along_rays(weights_MK, table.t_MK[..., None])[:, 0]
    solid_M = opacity_M > MIN_OPACITY
    depth_M = torch.where(solid_M, distance_M / opacity_M.clamp_min(MIN_OPACITY), torch.zeros_like(opacity_M))
    seen_M5 = torch.cat([opacity_M[:, None], depth_M[:, None], rgb_M3], dim=-1)
    seen_N5 = seen_M5.new_zeros(n_rays, 5).index_put((table.rays_M,), seen_M5)
    opacity_N, depth_N, rgb_N3 = seen_N5[:, 0], seen_N5[:, 1], seen_N5[:, 2:]
    return RenderedRays(
        rgb_N3=rgb_N3 + (1.0 - opacity_N)[:, None] * background,
        opacity_N=opacity_N,
        depth_N=depth_N,
        weights_MK=weights_MK,
        t_MK=table.t_MK,
        rays_M=table.rays_M,
        n_evaluated=len(table.place_P),
    )


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
