"""Where rays meet the field, and where on them to sample.

Rays come from ``cameras.pixel_rays``: their directions have length 1 along the viewing axis, so the ray parameter t is
the z-depth and a stretch dt of it is ``dt * |d|`` world units long.

Shape suffixes: N rays, K samples a ray.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lift3d_ray.errors import ConfigError

BALL_RADIUS = 1.05
"""Subjects lie in the unit ball; the margin leaves room for a rim."""

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Lowest and highest corner of a box with faces along the axes, world units."""

CUBE: Box = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Samples on the rays that meet the field, all the same world distance apart.

    Attributes:
        t_HK: (H, K) ray parameters (z-depths).
        valid_HK: (H, K) bool; False beyond the ray's far end.
        rays_H: (H,) int64 indices of the rays, ascending.
        step: world distance between neighbouring samples, the length that each stands for.
    """

    t_HK: Tensor
    valid_HK: Tensor
    rays_H: Tensor
    step: float


def step_length(n_samples: int) -> float:
    """World distance between samples that puts ``n_samples`` on the diameter of the field's ball."""
    if n_samples < 1:
        raise ConfigError(f"n_samples must be at least 1, got {n_samples}")
    return 2.0 * BALL_RADIUS / n_samples


def field_interval(rays_o_N3: Tensor, rays_d_N3: Tensor, box: Box = CUBE) -> tuple[Tensor, Tensor]:
    """The stretch of each ray inside both the field's ball and a box.

    Args:
        rays_o_N3: (N, 3) origins, world.
        rays_d_N3: (N, 3) directions, any length above 0.
        box: a box inside the cube.

    Returns:
        near_N and far_N, ray parameters >= 0; ``far <= near`` on rays that miss.
    """
    half_b = (rays_o_N3 * rays_d_N3).sum(-1)
    a = (rays_d_N3 * rays_d_N3).sum(-1)
    discriminant = half_b.square() - a * ((rays_o_N3 * rays_o_N3).sum(-1) - BALL_RADIUS**2)
    root = discriminant.clamp_min(0.0).sqrt()
    # A direction along a face must divide to infinity of the right sign, not to NaN.
    tiny = torch.finfo(rays_d_N3.dtype).tiny
    inverse = torch.where(rays_d_N3.abs() < tiny, torch.full_like(rays_d_N3, 1 / tiny**0.5), 1.0 / rays_d_N3)
    first, second = ((rays_d_N3.new_tensor(corner) - rays_o_N3) * inverse for corner in box)
    near = torch.maximum((-half_b - root) / a, torch.minimum(first, second).amax(-1)).clamp_min(0.0)
    far = torch.minimum((-half_b + root) / a, torch.maximum(first, second).amin(-1))
    return near, torch.where(discriminant > 0, far, near)


def draw_offsets(like_N: Tensor, generator: torch.Generator | None) -> Tensor:
    """Where in its step each ray samples: uniform in [0, 1), or the middle without a generator.

    Args:
        like_N: (N,) tensor whose device and dtype the result has.
        generator: of any device.
    """
    if generator is None:
        return torch.full_like(like_N, 0.5)
    # Drawn where the generator lives: the same seed then gives the same samples on every device.
    drawn_N = torch.rand(like_N.shape, generator=generator, device=generator.device, dtype=like_N.dtype)
    return drawn_N.to(like_N.device)


def sample_rays(
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    *,
    n_samples: int,
    box: Box = CUBE,
    generator: torch.Generator | None = None,
) -> Samples:
    """Samples a fixed world step apart, counted from where each ray enters the whole field.

    A smaller box leaves samples out but moves none, so that skipping empty space changes nothing else.

    Args:
        rays_o_N3: (N, 3) origins, world.
        rays_d_N3: (N, 3) directions.
        n_samples: samples along the diameter of the field's ball; shorter paths get fewer.
        box: where samples are wanted.
        generator: draws one offset a ray, uniform over a step (stratified sampling); None = the middle of each step.
    """
    step = step_length(n_samples)
    entry_N, _ = field_interval(rays_o_N3, rays_d_N3)
    near_N, far_N = field_interval(rays_o_N3, rays_d_N3, box)
    dt_N = step / rays_d_N3.norm(dim=-1)
    offset_N = draw_offsets(near_N, generator)
    skipped_N = ((near_N - entry_N) / dt_N - offset_N).ceil().clamp_min(0.0)
    first_N = entry_N + (skipped_N + offset_N) * dt_N
    rays_H = (far_N > first_N).nonzero()[:, 0]
    first_H, far_H, dt_H = (v.index_select(0, rays_H) for v in (first_N, far_N, dt_N))
    longest = int(((far_H - first_H) / dt_H).amax().floor()) + 1 if len(rays_H) else 0
    k_K = torch.arange(longest, device=near_N.device, dtype=near_N.dtype)
    t_HK = torch.addcmul(first_H[:, None], k_K, dt_H[:, None])
    return Samples(t_HK=t_HK, valid_HK=t_HK < far_H[:, None], rays_H=rays_H, step=step)
