"""Volume rendering on CUDA: nerfacc marches the rays through its occupancy grid and composites packed samples.

The samples are those of the CPU path: nerfacc takes a step whose middle lies in an occupied cell, counting steps from
where the ray enters the field. It stops behind opaque matter by itself, so the occupancy's density floor is not used.

Shape suffixes: N rays, M rays that met an occupied cell, K samples of the fullest of those, P packed samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from nerfacc.estimators.occ_grid import OccGridEstimator
from nerfacc.volrend import accumulate_along_rays, render_weight_from_density
from torch import Tensor

from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.rays import draw_offsets, field_interval, step_length
from lift3d_ray.field.voxels import VoxelField, query

TRANSPARENCY_LEFT = 1e-4
"""Rays stop where less than this share of their light is left."""


@dataclass(frozen=True, kw_only=True)
class MarchedRays:
    """Sums along rays, differentiable in the field's values.

    Attributes:
        rgb_N3: (N, 3) in [0, 1], over black; (N, C) latents of a latent field, over 0.
        opacity_N: (N,) in [0, 1].
        distance_N: (N,) sum of weight times z-depth.
        weights_MK: (M, K) weights, 0 in the padding.
        t_MK: (M, K) z-depths, 0 in the padding.
        rays_M: (M,) int64 indices of the rays with samples, ascending.
        n_evaluated: samples that were kept.
    """

    rgb_N3: Tensor
    opacity_N: Tensor
    distance_N: Tensor
    weights_MK: Tensor
    t_MK: Tensor
    rays_M: Tensor
    n_evaluated: int


def march_rays(
    field: VoxelField,
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    *,
    n_samples: int,
    sharpness: float,
    occupancy: Occupancy,
    generator: torch.Generator | None = None,
) -> MarchedRays:
    """March and composite rays; arguments as of ``render.render_rays``.

    Args:
        field: the field, float32, on the rays' CUDA device.
        rays_o_N3: (N, 3) origins, world.
        rays_d_N3: (N, 3) directions of length 1 along the viewing axis.
        n_samples: samples along the diameter of the field's ball.
        sharpness: slope of the density's sigmoid.
        occupancy: cells that may hold matter, on the same device.
        generator: shifts the samples of each ray by a random part of a step; None = midpoints.
    """
    count, step = len(rays_o_N3), step_length(n_samples)
    length_N = rays_d_N3.norm(dim=-1)
    unit_N3 = rays_d_N3 / length_N[:, None]
    near_N, far_N = field_interval(rays_o_N3, unit_N3)
    # nerfacc samples the middles of steps; shifting where it starts puts them anywhere in their step.
    start_N = near_N + (draw_offsets(near_N, generator) - 0.5) * step

    def positions(ray_P: Tensor, distance_P: Tensor) -> Tensor:
        return torch.addcmul(rays_o_N3[ray_P], unit_N3[ray_P], distance_P[:, None])

    def density(starts_P: Tensor, ends_P: Tensor, ray_P: Tensor) -> Tensor:
        sigma_P, _ = query(field, positions(ray_P, 0.5 * (starts_P + ends_P)), sharpness)
        return sigma_P

    ray_P, starts_P, ends_P = _estimator(occupancy).sampling(
        rays_o_N3,
        unit_N3,
        sigma_fn=density,
        t_min=start_N,
        t_max=far_N,
        render_step_size=step,
        early_stop_eps=TRANSPARENCY_LEFT,
    )
    middle_P = 0.5 * (starts_P + ends_P)
    depth_P = middle_P / length_N[ray_P]
    sigma_P, rgb_P3 = query(field, positions(ray_P, middle_P), sharpness)
    weight_P, _, _ = render_weight_from_density(starts_P, ends_P, sigma_P, ray_indices=ray_P, n_rays=count)
    sums_N5 = accumulate_along_rays(
        weight_P, torch.cat([rgb_P3, torch.ones_like(depth_P)[:, None], depth_P[:, None]], dim=-1), ray_P, count
    )
    rgb_N3, opacity_N1, distance_N1 = sums_N5.split([rgb_P3.shape[1], 1, 1], dim=-1)
    weights_MK, t_MK, rays_M = _tabulated(ray_P, weight_P, depth_P, count)
    return MarchedRays(
        rgb_N3=rgb_N3,
        opacity_N=opacity_N1[:, 0],
        distance_N=distance_N1[:, 0],
        weights_MK=weights_MK,
        t_MK=t_MK,
        rays_M=rays_M,
        n_evaluated=len(ray_P),
    )


def _estimator(occupancy: Occupancy) -> OccGridEstimator:
    estimator = OccGridEstimator([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0], resolution=occupancy.resolution)
    estimator = estimator.to(occupancy.cells_GGG.device)
    estimator.binaries = occupancy.cells_GGG[None]
    return estimator


def _tabulated(ray_P: Tensor, weight_P: Tensor, depth_P: Tensor, n_rays: int) -> tuple[Tensor, Tensor, Tensor]:
    """Packed weights and depths as (M, K) tables, and the rays of their rows."""
    count_N = torch.bincount(ray_P, minlength=n_rays)
    rays_M = count_N.nonzero()[:, 0]
    count_M = count_N[rays_M]
    width = int(count_M.amax()) if len(rays_M) else 0
    filled_MK = torch.arange(width, device=ray_P.device) < count_M[:, None]
    empty_MK = weight_P.new_zeros(filled_MK.shape)
    return empty_MK.masked_scatter(filled_MK, weight_P), empty_MK.masked_scatter(filled_MK, depth_P), rays_M
