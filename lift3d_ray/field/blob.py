"""What a field starts from where no picture says anything: a soft ball (after Magic3D: Lin et al. 2023)."""

from __future__ import annotations

import numpy as np

from lift3d_ray.field.init import InitialField

BLOB_RADIUS = 0.5
"""Where the ball's density is half, world units."""
BLOB_SLOPE = 0.3
"""Raw density in its middle, falling in a straight line: so soft that matter can come and go everywhere."""


def blob_field(*, resolution: int, hull_resolution: int = 32) -> InitialField:
    """A grey ball in the middle, which may become anything inside the unit ball.

    Args:
        resolution: grid points along an axis.
        hull_resolution: cells of the hull along an axis.
    """
    axis = np.linspace(-1, 1, resolution, dtype=np.float32)
    away_RRR = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    middles = (np.arange(hull_resolution, dtype=np.float32) + 0.5) * (2 / hull_resolution) - 1
    from_middle_GGG = np.sqrt(middles[:, None, None] ** 2 + middles[:, None] ** 2 + middles**2)
    return InitialField(
        raw_density_RRR=np.clip(BLOB_SLOPE * (1 - away_RRR / BLOB_RADIUS), -1, 1).astype(np.float32),
        raw_rgb_RRR3=np.zeros((resolution, resolution, resolution, 3), dtype=np.float32),
        hull_GGG=np.asarray(from_middle_GGG <= 1 + np.sqrt(3) / hull_resolution, dtype=np.bool_),
    )
