"""Sample sheets: pictures side by side, to be looked at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.types import UInt8


def picture_grid(rows_of: list[Tensor], *, columns: int) -> UInt8:
    """Interleaved rows: the first ``columns`` of every tensor (n, 3, H, W), then the next, as (H', W', 3) uint8."""
    columns = min(columns, len(rows_of[0]))
    lines = []
    for start in range(0, len(rows_of[0]) - columns + 1, columns):
        lines += [torch.cat(list(tensor[start : start + columns]), dim=2) for tensor in rows_of]
    grid = torch.cat(lines, dim=1).permute(1, 2, 0).clamp(0, 1)
    return np.asarray((grid * 255).round().byte().numpy(), dtype=np.uint8)
