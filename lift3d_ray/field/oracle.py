"""The renderer once more, in plain torch with no skipping, no packing and no nerfacc: what the fast one must equal.

Slow on purpose: it evaluates every sample of every ray and composites them one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lift3d_ray.field.rays import BALL_RADIUS, field_interval
from lift3d_ray.field.trilinear import interpolate_grid_sample
from lift3d_ray.field.voxels import VoxelField


def render_rays_dense(
    field: VoxelField,
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    *,
    n_samples: int,
    sharpness: float,
    background: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Render rays at the midpoints of their steps.

    Args:
        field: the field.
        rays_o_N3: (N, 3) origins.
        rays_d_N3: (N, 3) directions, length 1 along the viewing axis.
        n_samples: samples along the diameter of the field's ball.
        sharpness: slope of the density's sigmoid.
        background: (N, 3) or (3,) sRGB.

    Returns:
        rgb_N3, opacity_N, and the sum of weight times z-depth (N,), not divided by the opacity.
    """
    near_N, far_N = field_interval(rays_o_N3, rays_d_N3)
    step = 2 * BALL_RADIUS / n_samples
    dt_N = step / rays_d_N3.norm(dim=-1)
    rgb_N3 = torch.zeros_like(rays_o_N3)
    opacity_N = torch.zeros_like(near_N)
    distance_N = torch.zeros_like(near_N)
    for k in range(n_samples):
        t_N = near_N + (k + 0.5) * dt_N
        raw_N4 = interpolate_grid_sample(field.values_V4, rays_o_N3 + t_N[:, None] * rays_d_N3)
        sigma_N = field.sigma_max * torch.sigmoid(sharpness * raw_N4[:, 0]) * (t_N < far_N)
        weight_N = (1.0 - opacity_N) * (1.0 - torch.exp(-sigma_N * step))
        rgb_N3 = rgb_N3 + weight_N[:, None] * torch.sigmoid(raw_N4[:, 1:])
        opacity_N = opacity_N + weight_N
        distance_N = distance_N + weight_N * t_N
    return rgb_N3 + (1.0 - opacity_N)[:, None] * background, opacity_N, distance_N
