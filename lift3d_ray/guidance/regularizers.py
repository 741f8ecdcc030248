"""Losses that know nothing of the picture: what a solid, clean field looks like.

All are functions over values: tensors in, one scalar tensor out, differentiable. Names and weights of the source
systems are given where they come from one.

Shape suffixes: N rays, M rays with matter, K samples, R grid points along an axis, C channels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

ALPHA_MARGIN = 1e-5


def alpha_entropy(opacity_N: Tensor) -> Tensor:
    """Mean binary entropy of the rays' opacity, in bits: pushes every ray to empty or solid.

    ``mean(-a log2 a - (1 - a) log2(1 - a))``, a clamped to [1e-5, 1 - 1e-5] (Make-It-3D, after stable-dreamfusion).

    Args:
        opacity_N: (...,) opacities in [0, 1].
    """
    a = opacity_N.clamp(ALPHA_MARGIN, 1.0 - ALPHA_MARGIN)
    return (a * a.log() + (1.0 - a) * (1.0 - a).log()).mean() * (-1.0 / math.log(2.0))


def opacity(opacity_N: Tensor) -> Tensor:
    """Mean squared opacity, ``mean(a^2)``: prefers less matter (Make-It-3D).

    Args:
        opacity_N: (...,) opacities in [0, 1].
    """
    return opacity_N.square().mean()


def emptiness(weights_MK: Tensor, n_rays: int) -> Tensor:
    """Emptiness loss, ``1/N sum_rays sum_samples log(1 + 10 w)`` (Score Jacobian Chaining: Wang et al. 2023).

    For the same opacity a ray pays more for weight spread over many samples than for one hard surface: it thins fog.
    Summed over samples, not averaged, so that padding and skipped samples do not count.

    Args:
        weights_MK: (M, K) weights of samples, 0 in the padding.
        n_rays: N, rays rendered, those without samples included.
    """
    return torch.log1p(10.0 * weights_MK).sum() / max(n_rays, 1)


def total_variation(volume_RRRC: Tensor) -> Tensor:
    """Squared total variation: ``mean |v_i - v_j|^2`` over neighbouring grid points and channels (DVGO, Plenoxels).

    Its cost follows the volume's size: pass the part of the grid that matters, ``volume[region]``
    (``Occupancy.grid_region``).

    Args:
        volume_RRRC: (X, Y, Z, C) raw values, at least 2 points along one axis.
    """
    return total_variation_by_channel(volume_RRRC).mean()


def total_variation_by_channel(volume_RRRC: Tensor) -> Tensor:
    """The same for each channel, (C,): one pass for channels that are weighted differently."""
    result: Tensor = _SquaredSteps.apply(volume_RRRC)
    return result


class _SquaredSteps(torch.autograd.Function):
    """Mean squared steps between neighbours; the forward gathers the gradient on its way, 2-3 times cheaper."""

    @staticmethod
    def forward(ctx: Any, volume_RRRC: Tensor) -> Tensor:
        channels = volume_RRRC.shape[-1]
        slope = torch.zeros_like(volume_RRRC, memory_format=torch.contiguous_format)
        total_C, count = volume_RRRC.new_zeros(channels), 0
        for axis in range(3):
            pairs = volume_RRRC.shape[axis] - 1
            step = volume_RRRC.narrow(axis, 1, pairs) - volume_RRRC.narrow(axis, 0, pairs)
            slope.narrow(axis, 1, pairs).add_(step)
            slope.narrow(axis, 0, pairs).sub_(step)
            steps_NC = step.reshape(-1, channels)
            total_C += steps_NC.square_().sum(0)
            count += len(steps_NC)
        ctx.save_for_backward(slope)
        ctx.count = max(count, 1)
        return total_C / max(count, 1)

    @staticmethod
    def backward(ctx: Any, grad_C: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        gradient: Tensor = slope * (grad_C * (2.0 / ctx.count))
        return gradient


def laplacian(volume_RRRC: Tensor) -> Tensor:
    """Curvature: ``mean |v - mean of its 6 neighbours|^2`` over interior grid points and channels.

    Unlike total variation it leaves straight ramps alone, so it smooths a surface without fading it. Several times as
    dear as total variation: pass the part of the grid that matters, ``volume[region]``.

    Args:
        volume_RRRC: (X, Y, Z, C) raw values, at least 3 points along every axis.
    """
    core = volume_RRRC[1:-1, 1:-1, 1:-1]
    around = (
        volume_RRRC[2:, 1:-1, 1:-1]
        + volume_RRRC[:-2, 1:-1, 1:-1]
        + volume_RRRC[1:-1, 2:, 1:-1]
        + volume_RRRC[1:-1, :-2, 1:-1]
        + volume_RRRC[1:-1, 1:-1, 2:]
        + volume_RRRC[1:-1, 1:-1, :-2]
    )
    return (core - around / 6.0).square().mean()


def negative_pearson(x_N: Tensor, y_N: Tensor, mask_N: Tensor | None = None) -> Tensor:
    """Negative Pearson correlation, ``-Cov(x, y) / sqrt(Var(x) Var(y))``, in [-1, 1] (Make-It-3D's depth loss).

    Blind to scale and shift, which relative depth does not know. 0, with a finite gradient, where either is constant
    or fewer than two values are left.

    Args:
        x_N: (...,) values, for example rendered z-depth.
        y_N: (...,) values to agree with, for example estimated relative depth.
        mask_N: (...,) bool, values that count.
    """
    x, y = (x_N.reshape(-1), y_N.reshape(-1)) if mask_N is None else (x_N[mask_N], y_N[mask_N])
    if x.numel() < 2:
        return x_N.sum() * 0.0
    x, y = x - x.mean(), y - y.mean()
    # Variances below this are constants up to rounding; a floor keeps value and gradient finite there.
    floor = 1e-6
    scale = (x.square().mean() + floor).sqrt() * (y.square().mean() + floor).sqrt()
    return -(x * y).mean() / scale
