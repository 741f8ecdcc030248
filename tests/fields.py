"""What tests of losses on a field share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lift3d_ray.field.voxels import VoxelField


def against_finite_differences(loss: Callable[[VoxelField], Tensor], field: VoxelField, *, rows: int = 5) -> Tensor:
    """The gradient of a loss with respect to a field's values, checked where each channel feels it most.

    Args:
        loss: of a float64 field.
        field: in float64.
        rows: grid points to check for each channel.

    Returns:
        (V, 4), of the shape of the field's values.
    """
    (gradient,) = torch.autograd.grad(loss(field), field.values_V4, materialize_grads=True)
    assert bool(torch.isfinite(gradient).all())
    for channel in range(gradient.shape[1]):
        for row in gradient[:, channel].abs().argsort(descending=True)[:rows].tolist():
            with torch.no_grad():
                field.values_V4[row, channel] += 1e-6
                above = loss(field)
                field.values_V4[row, channel] -= 2e-6
                below = loss(field)
                field.values_V4[row, channel] += 1e-6
            measured = float(above - below) / 2e-6
            assert measured == pytest.approx(float(gradient[row, channel]), rel=1e-3, abs=1e-7)
    return gradient
