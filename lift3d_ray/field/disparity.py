"""Depth as the prior's ControlNet takes it: inverse, spread over each picture's own range.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

import numpy as np

from lift3d_ray.types import Bool, Float32


def disparity_picture(depth_HW: Float32, seen_HW: Bool) -> Float32:
    """(H, W) float32 inverse depth over [1/255, 1] where something is seen, near = 1, and 0 where there is nothing.

    The embedded ControlNet was trained on such pictures in eight bits; so the farthest point differs from nothing.

    Args:
        depth_HW: (H, W) float32 z-depth, positive where something is seen.
        seen_HW: (H, W) bool.
    """
    picture_HW = np.zeros(depth_HW.shape, dtype=np.float32)
    if seen_HW.any():
        inverse = 1 / np.maximum(depth_HW[seen_HW], 1e-3)
        span = max(float(np.ptp(inverse)), 1e-6)
        picture_HW[seen_HW] = (1 + 254 * (inverse - inverse.min()) / span) / 255
    return picture_HW
