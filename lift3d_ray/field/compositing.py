"""Volume rendering of packed samples on CPU: nerfacc composites, this module differentiates.

    w_i = T_i (1 - exp(-tau_i)),    T_i = exp(-sum_{j<i} tau_j),    tau_i = sigma_i step    (Max 1995; NeRF, eq. 3)

What torch's autograd would do with these formulas costs more than the field itself; the backward by hand is a handful
of passes over the packed samples. With g_i = dL/dw_i, and because dw_i/dtau_i = T_{i+1} and dw_j/dtau_i = -w_j, j > i:

    dL/dtau_i = T_{i+1} g_i - sum_{j>i} w_j g_j.

Shape suffixes: M rays, K samples of the fullest ray, P packed samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nerfacc.volrend import render_weight_from_density
from scipy import sparse
from torch import Tensor

from lift3d_ray.field.packing import SampleTable


def composite(
    raw_P4: Tensor, table: SampleTable, *, sigma_max: float, sharpness: float, latent: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Composite raw field values along rays, differentiable in them.

    The values become density and colour as in ``voxels.activate``.

    Args:
        raw_P4: (P, 4) raw density and raw colour at the table's samples, on CPU; (P, 1 + C) where latent.
        table: where the samples lie.
        sigma_max: density of solid matter, per world unit.
        sharpness: slope of the density's sigmoid.
        latent: whether latents stand in the colours' place.

    Returns:
        rgb_M3 in [0, 1] over black, or (M, C) latents over 0, opacity_M in [0, 1], distance_M (sum of weight times
        z-depth), weights_MK.
    """
    results: tuple[Tensor, Tensor, Tensor, Tensor] = _Composite.apply(raw_P4, table, sigma_max, sharpness, latent)
    return results


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, raw_P4: Tensor, table: SampleTable, sigma_max: float, sharpness: float, latent: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        slope_4 = raw_P4.new_tensor([sharpness] + [1.0] * (raw_P4.shape[1] - 1))
        active_P4 = torch.mul(raw_P4, slope_4)
        _sigmoids(active_P4, latent).sigmoid_()
        tau_MK = torch.zeros_like(table.t_MK)
        tau_MK.view(-1).index_copy_(0, table.place_P, active_P4[:, 0] * (sigma_max * table.step))
        zero, one = tau_MK.new_zeros(1).expand_as(tau_MK), tau_MK.new_ones(1).expand_as(tau_MK)
        weights_MK, trans_MK, _ = render_weight_from_density(zero, one, tau_MK)
        weight_P = weights_MK.view(-1).index_select(0, table.place_P)
        rgb_M3 = _sum_over_rays(weight_P, active_P4, table)[:, 1:]
        ctx.save_for_backward(active_P4, slope_4, weight_P, weights_MK, trans_MK)
        ctx.table, ctx.thickness, ctx.latent = table, sigma_max * table.step, latent
        ctx.set_materialize_grads(False)
        return rgb_M3, weights_MK.sum(1), (weights_MK * table.t_MK).sum(1), weights_MK

    @staticmethod
    def backward(
        ctx: Any,
        grad_rgb_M3: Tensor | None,
        grad_opacity_M: Tensor | None,
        grad_distance_M: Tensor | None,
        grad_weights_MK: Tensor | None,
    ) -> tuple[Tensor, None, None, None, None]:
        active_P4, slope_4, weight_P, weights_MK, trans_MK = ctx.saved_tensors
        table: SampleTable = ctx.table
        # Upstream gradient of the weights: first from sums over rays, on the table.
        upstream_MK = torch.zeros_like(weights_MK) if grad_weights_MK is None else grad_weights_MK
        if grad_distance_M is not None:
            upstream_MK = torch.addcmul(upstream_MK, table.t_MK, grad_distance_M[:, None])
        if grad_opacity_M is not None:
            upstream_MK = upstream_MK + grad_opacity_M[:, None]
        grad_P4 = torch.zeros_like(active_P4)
        if grad_rgb_M3 is not None:
            # The zero in front keeps the density out of the product below.
            grad_M4 = torch.cat([torch.zeros_like(grad_rgb_M3[:, :1]), grad_rgb_M3], dim=1)
            grad_P4 = grad_M4.index_select(0, table.row_P)
            from_rgb_MK = torch.zeros_like(weights_MK)
            from_rgb_MK.view(-1).index_copy_(0, table.place_P, (active_P4 * grad_P4).sum(1))
            upstream_MK = upstream_MK + from_rgb_MK
        pull_MK = weights_MK * upstream_MK
        behind_MK = pull_MK.sum(1, keepdim=True) - pull_MK.cumsum(1)
        grad_tau_MK = torch.sub(trans_MK, weights_MK).mul_(upstream_MK).sub_(behind_MK)
        grad_P4.mul_(weight_P[:, None])
        grad_P4[:, 0] = grad_tau_MK.view(-1).index_select(0, table.place_P).mul_(ctx.thickness)
        through = _sigmoids(active_P4, ctx.latent)
        _sigmoids(grad_P4.mul_(slope_4), ctx.latent).mul_(through).mul_(1.0 - through)
        return grad_P4, None, None, None, None


def _sigmoids(values_P4: Tensor, latent: bool) -> Tensor:
    """The channels that go through a sigmoid: all, or the density alone where latents are behind it."""
    return values_P4[:, :1] if latent else values_P4


def _sum_over_rays(weight_P: Tensor, values_PC: Tensor, table: SampleTable) -> Tensor:
    """(M, C) weighted sums of each ray's samples: one sparse product, far cheaper on CPU than torch's index-add."""
    samples, rays = len(weight_P), len(table.rays_M)
    bounds = np.searchsorted(table.row_P.numpy(), np.arange(rays + 1)).astype(np.int32)
    matrix = sparse.csr_array((weight_P.numpy(), np.arange(samples, dtype=np.int32), bounds), shape=(rays, samples))
    return torch.from_numpy(matrix @ values_PC.numpy())
