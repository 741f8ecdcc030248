"""Resampling by two small matrices: exact about where a pixel lies, with one filter for each direction.

Pixel centres lie at +0.5. Shrinking averages exactly the area that falls on a target pixel; enlarging interpolates
with Catmull-Rom cubics (Keys 1981, a = -1/2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.types import Float32


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A square of a picture, to be resampled to a square of another size.

    Attributes:
        x: left edge in pixels of the picture; may be negative.
        y: top edge.
        span: side in pixels of the picture; may reach past its end.
        size: side of the result in pixels.
    """

    x: float
    y: float
    span: float
    size: int

    @property
    def scale(self) -> float:
        """Pixels of the picture for one of the result."""
        return self.span / self.size

    def sample(self, picture: Float32, *, replicate: bool) -> Float32:
        """Resamples a picture.

        Args:
            picture: (H, W) or (H, W, C) float32.
            replicate: outside the picture, True repeats its edge, False counts as zero.

        Returns:
            (size, size) or (size, size, C) float32.
        """
        height, width = picture.shape[:2]
        rows = self._weights(self.y, height, replicate)
        columns = self._weights(self.x, width, replicate)
        tall = (rows @ picture.reshape(height, -1)).reshape(self.size, width, -1)
        result = np.matmul(columns, tall)
        return np.ascontiguousarray(result.reshape(self.size, self.size, *picture.shape[2:]), dtype=np.float32)

    def _weights(self, start: float, length: int, replicate: bool) -> Float32:
        """(size, length) weights of one axis; rows sum to 1 where the source covers the target."""
        taps = _area_taps if self.scale >= 1 else _cubic_taps
        index, weight = taps(start, self.scale, self.size)
        if not replicate:
            weight = np.where((index >= 0) & (index < length), weight, 0.0)
        matrix = np.zeros((self.size, length))
        np.add.at(matrix, (np.arange(self.size)[:, None], np.clip(index, 0, length - 1)), weight)
        return matrix.astype(np.float32)


def _area_taps(start: float, scale: float, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    low = start + np.arange(size) * scale
    index = np.floor(low)[:, None] + np.arange(int(np.ceil(scale)) + 1)
    overlap = np.minimum(low[:, None] + scale, index + 1) - np.maximum(low[:, None], index)
    return index.astype(np.int64), np.maximum(overlap, 0.0) / scale


def _cubic_taps(start: float, scale: float, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    centre = start + (np.arange(size) + 0.5) * scale - 0.5
    index = np.floor(centre)[:, None] + np.arange(-1, 3)
    x = np.abs(centre[:, None] - index)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return index.astype(np.int64), np.where(x <= 1, near, np.where(x < 2, far, 0.0))
