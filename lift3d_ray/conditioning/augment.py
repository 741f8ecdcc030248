"""Slightly other pictures of the same subject: mirrored, moved, sized, lit otherwise, always over white.

Shape suffixes: B pictures, S side of the source, R side of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from lift3d_ray.recipes import InversionConfig


def augmented(
    picture_3SS: Tensor, count: int, size: int, config: InversionConfig, *, generator: torch.Generator
) -> Tensor:
    """Draw variations of a picture over white.

    Args:
        picture_3SS: (3, S, S) float in [0, 1]; S twice the wanted size gives proper averages.
        count: pictures to draw.
        size: their side R.
        config: how much they may differ.
        generator: on the CPU; the same draws whatever the device.

    Returns:
        (count, 3, R, R) float in [0, 1], where the picture is.
    """
    draws = torch.rand(6, count, generator=generator).to(picture_3SS)
    mirror = torch.where(draws[0] < config.flip, -1.0, 1.0)
    scale = 1 + config.zoom * (2 * draws[1] - 1)
    shift = 2 * config.shift * (2 * draws[2:4] - 1)
    zero = torch.zeros_like(scale)
    theta = torch.stack([mirror * scale, zero, shift[0], zero, scale, shift[1]], dim=1).reshape(count, 2, 3)
    grid = affine_grid(theta, [count, 3, size, size], align_corners=False)
    # What lies outside is read as 0, so the picture is read as its distance from white.
    darkness = grid_sample((1 - picture_3SS).expand(count, -1, -1, -1), grid, align_corners=False)
    coverage = (darkness > 0).any(dim=1, keepdim=True)
    brightness = config.jitter * (2 * draws[4] - 1)
    contrast = 1 + config.jitter * (2 * draws[5] - 1)
    lit = (0.5 - darkness) * contrast[:, None, None, None] + 0.5 + brightness[:, None, None, None]
    return torch.where(coverage, lit, 1 - darkness).clamp(0, 1)
