"""A z-buffer in numpy: which triangle is nearest at every pixel of a batch of views.

Triangles are cut into rows and rows into pixels with ``np.repeat``, so the work is proportional to
the covered pixels, not to bounding boxes, and no Python loop runs over triangles. A row's ends are
computed edge by edge from the same two vertices on either side of an edge, so neighbouring
triangles neither overlap nor leave a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import Float, Int


@dataclass(frozen=True)
class Hits:
    """The visible surface, one row for each covered pixel, ordered by pixel.

    Attributes:
        pixel: (P,) int64 index into the flattened (views, rows, columns).
        face: (P,) int64 index of the visible face.
        weights: (3, P) float32 perspective-correct barycentric weights of the face's corners.
        nearness: (P,) float32 inverse z-depth at the pixel's centre.
    """

    pixel: NDArray[np.int64]
    face: NDArray[np.int64]
    weights: Float
    nearness: Float


def rasterise(x: Float, y: Float, nearness: Float, faces: Int, size: int) -> Hits:
    """Finds the nearest front-facing triangle at every pixel centre.

    Args:
        x: (V, N) float32 vertex columns in pixels, for V views of N vertices.
        y: (V, N) float32 vertex rows in pixels, growing downwards.
        nearness: (V, N) float32 inverse z-depths, all positive.
        faces: (F, 3) int32; triangles that run clockwise on the (y-down) screen are culled as
            seen from behind.
        size: side of the square pictures in pixels.
    """
    view, face = _front_facing(x, y, faces)
    corner = faces[face]
    base = view[:, None] * x.shape[1] + corner
    tx, ty, tw = x.ravel()[base], y.ravel()[base], nearness.ravel()[base]
    slope_x, slope_y = _planes(tx, ty, tw)
    keys = _fill(tx, ty, tw, slope_x, slope_y, view, size, len(x))
    pixel = np.flatnonzero(keys)
    key = keys[pixel]
    triangle = (key & np.uint64(0xFFFFFFFF)).astype(np.int64)
    near = (key >> np.uint64(32)).astype(np.uint32).view(np.float32)
    weights = _weights(pixel, triangle, tx, ty, tw, size)
    return Hits(pixel, face[triangle], weights, near)


def _front_facing(
    x: Float, y: Float, faces: Int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b, c = faces.T
    xa, ya = x[:, a], y[:, a]
    area = (x[:, b] - xa) * (y[:, c] - ya) - (x[:, c] - xa) * (y[:, b] - ya)
    view, face = np.nonzero(area < 0)
    return view, face


def _planes(tx: Float, ty: Float, tw: Float) -> tuple[Float, Float]:
    dx1, dx2 = tx[:, 1] - tx[:, 0], tx[:, 2] - tx[:, 0]
    dy1, dy2 = ty[:, 1] - ty[:, 0], ty[:, 2] - ty[:, 0]
    dw1, dw2 = tw[:, 1] - tw[:, 0], tw[:, 2] - tw[:, 0]
    scale = np.float32(1) / (dx1 * dy2 - dx2 * dy1)
    return np.asarray((dw1 * dy2 - dw2 * dy1) * scale), np.asarray((dx1 * dw2 - dx2 * dw1) * scale)


def _fill(
    tx: Float, ty: Float, tw: Float, slope_x: Float, slope_y: Float,
    view: NDArray[np.int64], size: int, views: int,
) -> NDArray[np.uint64]:
    """Depth-tests all fragments; returns (views * size * size,) keys: nearness bits | triangle."""
    keys = np.zeros(views * size * size, np.uint64)
    triangle, row, left, right = _rows(tx, ty, size)
    width = right - left
    drawn = np.flatnonzero(width > 0)
    if not len(drawn):
        return keys
    triangle, row, left, width = triangle[drawn], row[drawn], left[drawn], width[drawn]
    start = (
        tw[triangle, 0]
        + (left + np.float32(0.5) - tx[triangle, 0]) * slope_x[triangle]
        + (row + np.float32(0.5) - ty[triangle, 0]) * slope_y[triangle]
    ).astype(np.float32)
    first = (view[triangle] * size + row) * size + left
    before = np.cumsum(width) - width
    span = np.repeat(np.arange(len(width)), width)
    step = np.arange(len(span)) - before[span]
    near = start[span] + step.astype(np.float32) * slope_x[triangle][span]
    # Slivers may extrapolate a little; a positive float keeps its order when read as an integer.
    bits = np.maximum(near, np.float32(1e-6)).view(np.uint32).astype(np.uint64)
    key = (bits << np.uint64(32)) | triangle.astype(np.uint64)[span]
    np.maximum.at(keys, first[span] + step, key)
    return keys


def _rows(
    tx: Float, ty: Float, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cuts triangles into pixel rows: triangle, row, first column, column after the last."""
    order = np.argsort(ty, axis=1)
    sx, sy = np.take_along_axis(tx, order, 1), np.take_along_axis(ty, order, 1)
    edges = np.clip(np.ceil(sy - np.float32(0.5)), 0, size).astype(np.int64)
    height = edges[:, 2] - edges[:, 0]
    tall = np.flatnonzero(height > 0)
    height, edges, sx, sy = height[tall], edges[tall], sx[tall], sy[tall]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (np.roll(sx, -1, 1) - sx) / (np.roll(sy, -1, 1) - sy)
        slope[:, 2] = (sx[:, 2] - sx[:, 0]) / (sy[:, 2] - sy[:, 0])
    piece = np.repeat(np.arange(len(tall)), height)
    row = np.arange(len(piece)) - (np.cumsum(height) - height - edges[:, 0])[piece]
    centre = row.astype(np.float32) + np.float32(0.5)
    long_x = sx[piece, 0] + (centre - sy[piece, 0]) * slope[piece, 2]
    upper = np.where(row < edges[piece, 1], 0, 1)
    short_x = sx[piece, upper] + (centre - sy[piece, upper]) * slope[piece, upper]
    left = np.ceil(np.minimum(long_x, short_x) - np.float32(0.5))
    right = np.ceil(np.maximum(long_x, short_x) - np.float32(0.5))
    return (
        tall[piece], row,
        np.clip(left, 0, size).astype(np.int64), np.clip(right, 0, size).astype(np.int64),
    )


def _weights(
    pixel: NDArray[np.int64], triangle: NDArray[np.int64], tx: Float, ty: Float, tw: Float,
    size: int,
) -> Float:
    dx1, dx2 = tx[:, 1] - tx[:, 0], tx[:, 2] - tx[:, 0]
    dy1, dy2 = ty[:, 1] - ty[:, 0], ty[:, 2] - ty[:, 0]
    scale = 1.0 / (dx1 * dy2 - dx2 * dy1)
    table = np.stack(
        [tx[:, 0], ty[:, 0], dy2 * scale, dx2 * scale, dy1 * scale, dx1 * scale, *tw.T], 1
    )[triangle].T
    column = pixel % size
    row = (pixel // size) % size
    px = column.astype(np.float32) + np.float32(0.5) - table[0]
    py = row.astype(np.float32) + np.float32(0.5) - table[1]
    second = np.clip(px * table[2] - py * table[3], 0, 1)
    third = np.clip(py * table[5] - px * table[4], 0, 1)
    weights = np.stack([np.maximum(1 - second - third, 0), second, third]) * table[6:9]
    return np.asarray(weights / weights.sum(0), np.float32)
