"""Trilinear interpolation in a table of grid values, fast on one CPU core.

Forward is one ``embedding_bag`` (weighted sum of 8 rows a point), backward one product of a transposed sparse matrix
(scipy) with the gradient: several times cheaper than torch's scatter and index-add on CPU, and than the backward of
``grid_sample``. Elsewhere (CUDA) ``grid_sample`` does both.

Shape suffixes: R grid points along an axis, V = R**3 rows, C channels, N points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

CORNERS = 8


def interpolate(values_VC: Tensor, xyz_N3: Tensor) -> Tensor:
    """Values at points, trilinear between the grid points of the cube [-1, 1]^3.

    Args:
        values_VC: (R**3, C) table, row ``(i * R + j) * R + k`` at x, y, z = -1 + 2 (i, j, k) / (R - 1).
        xyz_N3: (N, 3) positions of the same dtype and device, clamped to the cube.

    Returns:
        (N, C), differentiable in the table; not in the positions.
    """
    return interpolate_columns(values_VC, xyz_N3.detach().t().contiguous())


def interpolate_columns(values_VC: Tensor, xyz_3N: Tensor) -> Tensor:
    """The same for positions stored coordinate by coordinate, (3, N): how the CPU path wants them."""
    if values_VC.device.type != "cpu":
        return interpolate_grid_sample(values_VC, xyz_3N.t())
    rows_N8, weights_N8 = corner_weights(xyz_3N, round(len(values_VC) ** (1 / 3)))
    result: Tensor = _WeightedRows.apply(values_VC, rows_N8, weights_N8)
    return result


def interpolate_grid_sample(values_VC: Tensor, xyz_N3: Tensor) -> Tensor:
    """The same through ``torch.nn.functional.grid_sample``: the path off the CPU, and the tests' oracle."""
    resolution, channels = round(len(values_VC) ** (1 / 3)), values_VC.shape[1]
    volume = values_VC.view(resolution, resolution, resolution, channels).permute(3, 0, 1, 2)[None]
    # grid_sample's last coordinate runs along the first spatial axis.
    grid = xyz_N3.detach().flip(-1).view(1, 1, 1, -1, 3)
    out = F.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return out.view(channels, -1).t()


@torch.no_grad()
def corner_weights(xyz_3N: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """The 8 table rows around each point and their trilinear weights.

    Args:
        xyz_3N: (3, N) positions, clamped to the cube [-1, 1]^3.
        resolution: grid points along an axis.

    Returns:
        rows (N, 8) int32 and weights (N, 8), which sum to 1.
    """
    # Whole columns at a time over contiguous memory, and as few temporaries as can be: on CPU this function costs more
    # than the sums it prepares.
    half = 0.5 * (resolution - 1)
    grid_3N = xyz_3N.mul(half).add_(half).clamp_(0.0, resolution - 1)
    cell_3N = grid_3N.floor().clamp_(max=resolution - 2)
    high_3N = grid_3N.sub_(cell_3N)
    low_3N = 1.0 - high_3N
    i, j, k = cell_3N.to(torch.int32)
    first_N = torch.add(k, torch.add(j, i, alpha=resolution), alpha=resolution)
    step_8 = [(di * resolution + dj) * resolution + dk for di in (0, 1) for dj in (0, 1) for dk in (0, 1)]
    rows_N8 = first_N[:, None] + torch.tensor(step_8, dtype=torch.int32)
    weights_N8 = torch.empty((xyz_3N.shape[1], CORNERS), dtype=xyz_3N.dtype)
    corner = 0
    for x_N in (low_3N[0], high_3N[0]):
        for y_N in (low_3N[1], high_3N[1]):
            xy_N = x_N * y_N
            for z_N in (low_3N[2], high_3N[2]):
                torch.mul(xy_N, z_N, out=weights_N8[:, corner])
                corner += 1
    return rows_N8, weights_N8


class _WeightedRows(torch.autograd.Function):
    """Weighted sums of table rows, with a backward that touches only those rows."""

    @staticmethod
    def forward(ctx: Any, values_VC: Tensor, rows_N8: Tensor, weights_N8: Tensor) -> Tensor:
        ctx.save_for_backward(rows_N8, weights_N8)
        ctx.table_rows = len(values_VC)
        return F.embedding_bag(rows_N8, values_VC, mode="sum", per_sample_weights=weights_N8)

    @staticmethod
    def backward(ctx: Any, grad_NC: Tensor) -> tuple[Tensor, None, None]:
        rows_N8, weights_N8 = ctx.saved_tensors
        bounds = np.arange(0, rows_N8.numel() + 1, CORNERS, dtype=np.int32)
        matrix = sparse.csr_array(
            (weights_N8.numpy().reshape(-1), rows_N8.numpy().reshape(-1), bounds),
            shape=(len(rows_N8), ctx.table_rows),
        )
        return torch.from_numpy(matrix.T @ grad_NC.contiguous().numpy()), None, None
