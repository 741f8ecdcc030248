"""Differentiable pictures of points: the nearest few in each pixel, composited front to back.

Points stand still, so which of them a pixel sees, and with what weight, is found once a camera (``splat``); drawing is
then a weighted sum of descriptors, linear in them (``draw``). Alphas are Make-It-3D's,
``1 - sqrt(clamp(0.1 d^2 / r^2, 1e-3, 1))`` at a distance d from the point within its radius r.

Shape suffixes: N points, S picture side, P = S^2 pixels, K points a pixel, C channels of a descriptor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from lift3d_ray.errors import ConfigError
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.types import Float32

SCALES = (1, 2, 4)
"""Divisors of the picture's side at which the points are drawn."""

LEAST_RADIUS_PX = 0.75
"""No point is drawn smaller than this: it would fall between the pixels' centres."""


@dataclass(frozen=True, kw_only=True)
class Splats:
    """What the pixels of one picture see, all on one device.

    Attributes:
        size: S.
        point_PK: (P, K) int64 points, nearest first; 0 where there are fewer.
        weight_PK: (P, K) share of each in the pixel: its alpha behind those in front; 0 where there are fewer.
        left_P: (P,) share of the background.
    """

    size: int
    point_PK: Tensor
    weight_PK: Tensor
    left_P: Tensor


def splat_scales(
    xyz_N3: Float32, viewpoint: Viewpoint, *, size: int, radius_px: float, nearest: int, device: torch.device | str
) -> tuple[Splats, ...]:
    """One camera's splats at every scale of ``SCALES``; arguments as of ``splat``."""
    return tuple(
        splat(
            torch.from_numpy(xy_px).to(device),
            torch.from_numpy(depth).to(device),
            size=size // scale,
            radius_px=max(LEAST_RADIUS_PX, radius_px / scale),
            nearest=nearest,
        )
        for scale in SCALES
        for xy_px, depth in (viewpoint.project(xyz_N3, size // scale),)
    )


def splat(xy_px_N2: Tensor, depth_N: Tensor, *, size: int, radius_px: float, nearest: int) -> Splats:
    """Which points the pixels see.

    Args:
        xy_px_N2: (N, 2) positions in pixels.
        depth_N: (N,) z-depths; points at 0 or behind the camera are left out.
        size: side S of the picture.
        radius_px: of every point.
        nearest: K, points kept in a pixel.

    Raises:
        ConfigError: a size, radius or count that makes no sense.
    """
    if size < 1 or nearest < 1 or radius_px <= 0:
        raise ConfigError(f"size, nearest and radius must be positive, got {size}, {nearest}, {radius_px}")
    point, pixel, squared = _footprints(xy_px_N2, depth_N, size, radius_px)
    # Two stable sorts: by depth, then by pixel; ties go to the earlier point, so the same input draws the same.
    by_depth = torch.argsort(depth_N[point], stable=True)
    order = by_depth[torch.argsort(pixel[by_depth], stable=True)]
    point, pixel, squared = point[order], pixel[order], squared[order]
    start = torch.searchsorted(pixel, pixel)
    rank = torch.arange(len(pixel), device=pixel.device) - start
    kept = rank < nearest
    point_PK = torch.zeros(size * size, nearest, dtype=torch.int64, device=pixel.device)
    alpha_PK = torch.zeros(size * size, nearest, dtype=xy_px_N2.dtype, device=pixel.device)
    point_PK[pixel[kept], rank[kept]] = point[kept]
    alpha_PK[pixel[kept], rank[kept]] = alphas(squared[kept] / radius_px**2)
    clear_PK = torch.cumprod(1 - alpha_PK, dim=1)
    before_PK = torch.cat([torch.ones_like(clear_PK[:, :1]), clear_PK[:, :-1]], dim=1)
    return Splats(size=size, point_PK=point_PK, weight_PK=alpha_PK * before_PK, left_P=clear_PK[:, -1])


def alphas(share: Tensor) -> Tensor:
    """Alpha of a point at the squared distance ``share`` from it, in squared radii."""
    return 1 - (0.1 * share).clamp(1e-3, 1.0).sqrt()


def draw(descriptors_NC: Tensor, background_C: Tensor, splats: Splats) -> Tensor:
    """(C, S, S) picture of the descriptors over the background's; differentiable with respect to both."""
    seen_PC = embedding_bag(splats.point_PK, descriptors_NC, mode="sum", per_sample_weights=splats.weight_PK)
    picture_PC = seen_PC + splats.left_P[:, None] * background_C
    return picture_PC.T.reshape(-1, splats.size, splats.size)


def coverage(splats: Splats) -> Tensor:
    """(S, S) share of each pixel that points cover."""
    return (1 - splats.left_P).reshape(splats.size, splats.size)


def _footprints(xy_px_N2: Tensor, depth_N: Tensor, size: int, radius_px: float) -> tuple[Tensor, Tensor, Tensor]:
    """Every pixel centre within every point's radius: point, flat pixel, squared distance in pixels."""
    reach = int(radius_px + 1)
    step = torch.arange(-reach, reach + 1, device=xy_px_N2.device)
    offset_W2 = torch.cartesian_prod(step, step)
    pixel_NW2 = torch.floor(xy_px_N2).to(torch.int64)[:, None] + offset_W2
    squared_NW = (pixel_NW2 + 0.5 - xy_px_N2[:, None]).square().sum(-1)
    inside = ((pixel_NW2 >= 0) & (pixel_NW2 < size)).all(-1)
    near = inside & (squared_NW <= radius_px**2) & (depth_N > 0)[:, None]
    point, where = torch.nonzero(near, as_tuple=True)
    column, row = pixel_NW2[point, where].unbind(-1)
    return point, row * size + column, squared_NW[point, where]
