"""A z-buffer in numpy: which triangle is nearest at every pixel of a batch of views.

Triangles are cut into rows and rows into pixels with ``np.repeat``, so the work is proportional to the covered pixels,
not to bounding boxes, and no Python loop runs over triangles. A row's ends are computed edge by edge from the same two
vertices on either side of an edge, so neighbouring triangles neither overlap nor leave a gap. Weights are
perspective-correct (Heckbert and Moreton 1991).

Shape suffixes: V views, N vertices, F faces, P covered pixels, T triangles to draw, S rows of triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.types import Float32, Int64


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Where rays meet a surface, one row for each; of the visible surface one for each covered pixel, ordered by pixel.

    Attributes:
        pixel_P: (P,) int64 index into the flattened (views, rows, columns).
        face_P: (P,) int64 index of the visible face.
        weights_3P: (3, P) float32 perspective-correct barycentric weights of the face's corners.
        nearness_P: (P,) float32 inverse z-depth at the pixel's centre.
    """

    pixel_P: Int64
    face_P: Int64
    weights_3P: Float32
    nearness_P: Float32

    def chosen(self, rows: NDArray[Any]) -> Hits:
        """Some of the rows."""
        return Hits(
            pixel_P=self.pixel_P[rows],
            face_P=self.face_P[rows],
            weights_3P=self.weights_3P[:, rows],
            nearness_P=self.nearness_P[rows],
        )

    def interpolate(self, faces_F3: NDArray[np.integer[Any]], values_NC: Float32) -> Float32:
        """(P, C) float32 values of vertices, carried to the covered pixels."""
        corners = faces_F3[self.face_P]
        carried = self.weights_3P[0][:, None] * values_NC[corners[:, 0]]
        for k in (1, 2):
            carried += self.weights_3P[k][:, None] * values_NC[corners[:, k]]
        return np.asarray(carried, dtype=np.float32)


def nearest_faces(
    x_VN: Float32, y_VN: Float32, nearness_VN: Float32, faces_F3: NDArray[np.integer[Any]], size: int
) -> Hits:
    """Finds the nearest front-facing triangle at every pixel centre.

    Args:
        x_VN: (V, N) float32 vertex columns in pixels, for V views of N vertices.
        y_VN: (V, N) float32 vertex rows in pixels, growing downwards.
        nearness_VN: (V, N) float32 inverse z-depths, all positive.
        faces_F3: (F, 3) integers, counter-clockwise seen from outside. Triangles seen from behind, clockwise in the
            picture, are left out.
        size: side of the square pictures in pixels.
    """
    view, face = _front_facing(x_VN, y_VN, faces_F3)
    base = view[:, None] * x_VN.shape[1] + faces_F3[face]
    tx, ty, tw = x_VN.ravel()[base], y_VN.ravel()[base], nearness_VN.ravel()[base]
    keys = _fill(tx, ty, tw, view, size, len(x_VN))
    pixel = np.flatnonzero(keys)
    key = keys[pixel]
    triangle = (key & np.uint64(0xFFFFFFFF)).astype(np.int64)
    nearness = (key >> np.uint64(32)).astype(np.uint32).view(np.float32)
    weights = _weights(pixel, triangle, tx, ty, tw, size)
    return Hits(pixel_P=pixel, face_P=face[triangle], weights_3P=weights, nearness_P=nearness)


def all_crossings(
    x_N: Float32, y_N: Float32, nearness_N: Float32, faces_F3: NDArray[np.integer[Any]], size: int
) -> tuple[Hits, NDArray[np.bool_]]:
    """Finds every crossing of the rays of one view with a closed surface; arguments as of ``nearest_faces``.

    Returns:
        the crossings, in no order, and (P,) bool which of them enter the solid.
    """
    a, b, c = faces_F3.T
    area = (x_N[b] - x_N[a]) * (y_N[c] - y_N[a]) - (x_N[c] - x_N[a]) * (y_N[b] - y_N[a])
    face = np.flatnonzero(area)
    corners = faces_F3[face]
    tx, ty, tw = x_N[corners], y_N[corners], nearness_N[corners]
    pixel, triangle, nearness = _fragments(tx, ty, tw, np.zeros(len(face), dtype=np.int64), size)
    hits = Hits(
        pixel_P=pixel,
        face_P=face[triangle],
        weights_3P=_weights(pixel, triangle, tx, ty, tw, size),
        nearness_P=np.maximum(nearness, np.float32(1e-6)),
    )
    return hits, area[hits.face_P] < 0


def _front_facing(x_VN: Float32, y_VN: Float32, faces_F3: NDArray[np.integer[Any]]) -> tuple[Int64, Int64]:
    a, b, c = faces_F3.T
    xa, ya = x_VN[:, a], y_VN[:, a]
    area = (x_VN[:, b] - xa) * (y_VN[:, c] - ya) - (x_VN[:, c] - xa) * (y_VN[:, b] - ya)
    view, face = np.nonzero(area < 0)
    return view, face


def _planes(tx_T3: Float32, ty_T3: Float32, tw_T3: Float32) -> tuple[Float32, Float32]:
    """(T,) change of nearness per column, and per row."""
    dx1, dx2 = tx_T3[:, 1] - tx_T3[:, 0], tx_T3[:, 2] - tx_T3[:, 0]
    dy1, dy2 = ty_T3[:, 1] - ty_T3[:, 0], ty_T3[:, 2] - ty_T3[:, 0]
    dw1, dw2 = tw_T3[:, 1] - tw_T3[:, 0], tw_T3[:, 2] - tw_T3[:, 0]
    scale = np.reciprocal(dx1 * dy2 - dx2 * dy1)
    return (dw1 * dy2 - dw2 * dy1) * scale, (dx1 * dw2 - dx2 * dw1) * scale


def _fill(tx_T3: Float32, ty_T3: Float32, tw_T3: Float32, view_T: Int64, size: int, views: int) -> NDArray[np.uint64]:
    """Depth-tests all fragments; (views * size * size,) keys: bits of the nearness, then the triangle."""
    keys = np.zeros(views * size * size, np.uint64)
    pixel, triangle, nearness = _fragments(tx_T3, ty_T3, tw_T3, view_T, size)
    # Slivers may extrapolate a little; a positive float keeps its order when read as an integer.
    bits = np.maximum(nearness, np.float32(1e-6)).view(np.uint32).astype(np.uint64)
    np.maximum.at(keys, pixel, (bits << np.uint64(32)) | triangle.astype(np.uint64))
    return keys


def _fragments(
    tx_T3: Float32, ty_T3: Float32, tw_T3: Float32, view_T: Int64, size: int
) -> tuple[Int64, Int64, Float32]:
    """Every covered pixel of every triangle: flat pixel, triangle and inverse z-depth at the pixel's centre."""
    triangle, row, left, right = _rows(tx_T3, ty_T3, size)
    width = right - left
    drawn = np.flatnonzero(width > 0)
    triangle, row, left, width = triangle[drawn], row[drawn], left[drawn], width[drawn]
    slope_x, slope_y = _planes(tx_T3, ty_T3, tw_T3)
    start = (
        tw_T3[triangle, 0]
        + (left + np.float32(0.5) - tx_T3[triangle, 0]) * slope_x[triangle]
        + (row + np.float32(0.5) - ty_T3[triangle, 0]) * slope_y[triangle]
    ).astype(np.float32)
    first = (view_T[triangle] * size + row) * size + left
    before = np.cumsum(width) - width
    span = np.repeat(np.arange(len(width)), width)
    step = np.arange(len(span)) - before[span]
    nearness = start[span] + step.astype(np.float32) * slope_x[triangle][span]
    return first[span] + step, triangle[span], np.asarray(nearness, dtype=np.float32)


def _rows(tx_T3: Float32, ty_T3: Float32, size: int) -> tuple[Int64, Int64, Int64, Int64]:
    """Cuts triangles into pixel rows: triangle, row, first column, column after the last, each (S,)."""
    order = np.argsort(ty_T3, axis=1)
    sx, sy = np.take_along_axis(tx_T3, order, 1), np.take_along_axis(ty_T3, order, 1)
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
    return tall[piece], row, np.clip(left, 0, size).astype(np.int64), np.clip(right, 0, size).astype(np.int64)


def _weights(pixel_P: Int64, triangle_P: Int64, tx_T3: Float32, ty_T3: Float32, tw_T3: Float32, size: int) -> Float32:
    """(3, P) perspective-correct barycentric weights."""
    dx1, dx2 = tx_T3[:, 1] - tx_T3[:, 0], tx_T3[:, 2] - tx_T3[:, 0]
    dy1, dy2 = ty_T3[:, 1] - ty_T3[:, 0], ty_T3[:, 2] - ty_T3[:, 0]
    scale = np.reciprocal(dx1 * dy2 - dx2 * dy1)
    columns = [tx_T3[:, 0], ty_T3[:, 0], dy2 * scale, dx2 * scale, dy1 * scale, dx1 * scale, *tw_T3.T]
    table = np.stack(columns, 1)[triangle_P].T
    column = pixel_P % size
    row = (pixel_P // size) % size
    px = column.astype(np.float32) + np.float32(0.5) - table[0]
    py = row.astype(np.float32) + np.float32(0.5) - table[1]
    second = np.clip(px * table[2] - py * table[3], 0, 1)
    third = np.clip(py * table[5] - px * table[4], 0, 1)
    weights = np.stack([np.maximum(1 - second - third, 0), second, third]) * table[6:9]
    return np.asarray(weights / weights.sum(0), dtype=np.float32)
