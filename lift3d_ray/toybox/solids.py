"""Straight-edged and swept shapes: boxes, prisms, tubes and lofts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lift3d_ray.toybox.mesh import Float, Mesh, flat_polygon, merge, outward, unit
from lift3d_ray.toybox.rounds import circle

Doubles = NDArray[np.float64]
_SIDES = ((0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1))


def box(
    x: float, y: float, z: float, *, bevel: float = 0.0, taper: tuple[float, float] = (1.0, 1.0)
) -> Mesh:
    """A box standing on y = 0, centred in x and z.

    Args:
        x: full width.
        y: full height.
        z: full depth.
        bevel: width of the rounded edges; shading turns them smoothly from side to side.
        taper: factors by which the top is narrower than the bottom in x and in z.
    """
    half = np.array([x, y, z], np.float64) / 2
    inset = min(bevel, 0.9 * float(half.min()))
    corners = {
        (axis, sign, a, b): _corner(axis, sign, a, b, half, inset)
        for axis, sign in _SIDES
        for a in (-1, 1)
        for b in (-1, 1)
    }
    pieces = [_side(corners, axis, sign) for axis, sign in _SIDES]
    if inset > 0:
        pieces += [_edge(corners, i, si, j, sj) for i, j in ((0, 1), (0, 2), (1, 2))
                   for si in (-1, 1) for sj in (-1, 1)]
        pieces += [_tip(corners, (a, b, c)) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    mesh = merge(pieces)
    rise = (mesh.vertices[:, 1:2] + half[1]) / y
    scale = 1 + rise * (np.array([taper[0], 1.0, taper[1]]) - 1)
    vertices = (mesh.vertices * scale + np.array([0, half[1], 0])).astype(np.float32)
    normals = mesh.normals * np.array([y, 1.0, y], np.float32)
    for axis, narrowing in ((0, taper[0]), (2, taper[1])):
        normals[:, 1] += np.abs(mesh.normals[:, axis]) * half[axis] * (1 - narrowing)
    return Mesh(vertices, mesh.faces, unit(normals.astype(np.float32)), mesh.uv)


_Corner = tuple[Doubles, Doubles, Doubles]


def _others(axis: int) -> tuple[int, int]:
    return ((1, 2), (0, 2), (0, 1))[axis]


def _corner(axis: int, sign: int, a: int, b: int, half: Doubles, inset: float) -> _Corner:
    i, j = _others(axis)
    point, normal = np.zeros(3), np.zeros(3)
    point[axis], normal[axis] = sign * half[axis], sign
    point[i], point[j] = a * (half[i] - inset), b * (half[j] - inset)
    u, v = ((2, 1), (0, 2), (0, 1))[axis]
    return point, normal, np.array([point[u], point[v] + half[1] if v == 1 else point[v]])


def _piece(corners: list[_Corner], coordinates: list[Doubles]) -> Mesh:
    points = np.array([c[0] for c in corners])
    facing = np.cross(points[1] - points[0], points[2] - points[0])
    order = list(range(len(corners)))
    if facing @ points.mean(0) < 0:
        order.reverse()
    faces = [[order[0], order[k], order[k + 1]] for k in range(1, len(order) - 1)]
    return Mesh(
        points.astype(np.float32),
        np.array(faces, np.int32),
        np.array([c[1] for c in corners], np.float32),
        np.array(coordinates, np.float32),
    )


def _side(corners: dict[tuple[int, int, int, int], _Corner], axis: int, sign: int) -> Mesh:
    four = [corners[axis, sign, a, b] for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return _piece(four, [c[2] for c in four])


def _pick(
    corners: dict[tuple[int, int, int, int], _Corner], axis: int, signs: Sequence[int]
) -> _Corner:
    i, j = _others(axis)
    return corners[axis, signs[axis], signs[i], signs[j]]


def _edge(
    corners: dict[tuple[int, int, int, int], _Corner], i: int, si: int, j: int, sj: int
) -> Mesh:
    k = 3 - i - j
    signs = []
    for sk in (-1, 1):
        sign = [0, 0, 0]
        sign[i], sign[j], sign[k] = si, sj, sk
        signs.append(sign)
    four = [_pick(corners, i, signs[0]), _pick(corners, i, signs[1]),
            _pick(corners, j, signs[1]), _pick(corners, j, signs[0])]
    return _piece(four, [four[0][2], four[1][2], four[1][2], four[0][2]])


def _tip(corners: dict[tuple[int, int, int, int], _Corner], signs: Sequence[int]) -> Mesh:
    three = [_pick(corners, axis, signs) for axis in range(3)]
    return _piece(three, [three[0][2]] * 3)


def prism(outline: ArrayLike, depth: float, *, smooth: bool = False) -> Mesh:
    """A star-shaped outline in the xy plane given thickness along z, centred at z = 0.

    Args:
        outline: (K, 2) corners in either order.
        depth: full thickness.
        smooth: shade the rim smoothly instead of facet by facet.
    """
    flat = np.asarray(outline, np.float32)
    x, y = flat[:, 0], flat[:, 1]
    if float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) < 0:
        flat = flat[::-1]
    front = np.concatenate([flat, np.full((len(flat), 1), depth / 2, np.float32)], 1)
    back = front * np.array([1, 1, -1], np.float32)
    sides = [flat_polygon(front, flat), flat_polygon(back[::-1], flat[::-1])]
    rim = np.roll(flat, -1, 0) - flat
    edge_normals = unit(np.stack([rim[:, 1], -rim[:, 0], np.zeros(len(rim), np.float32)], 1))
    corner_normals = unit(edge_normals + np.roll(edge_normals, 1, 0))
    along = np.concatenate([[0.0], np.cumsum(np.hypot(rim[:, 0], rim[:, 1]))])
    for k in range(len(flat)):
        n = (k + 1) % len(flat)
        pair = (corner_normals[k], corner_normals[n]) if smooth else (edge_normals[k],) * 2
        sides.append(Mesh(
            np.stack([back[k], back[n], front[n], front[k]]),
            np.array([[0, 1, 2], [0, 2, 3]], np.int32),
            np.stack([pair[0], pair[1], pair[1], pair[0]]),
            np.array([[along[k], 0], [along[k + 1], 0], [along[k + 1], depth],
                      [along[k], depth]], np.float32),
        ))
    return merge(sides)


def loft(rings: ArrayLike) -> Mesh:
    """A smooth skin over a row of closed rings, with flat ends.

    Args:
        rings: (K, M, 3) points; ring after ring, all going round the same way.
    """
    grid = np.asarray(rings, np.float32)
    count, around = grid.shape[:2]
    closed = np.concatenate([grid, grid[:, :1]], 1)
    middle = grid.mean(1)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
    length = float(np.linalg.norm(np.diff(closed, axis=1), axis=-1).sum(1).max())
    k, m = (a.ravel() for a in np.meshgrid(np.arange(count - 1), np.arange(around), indexing="ij"))
    corner = k * (around + 1) + m
    faces = np.concatenate([
        np.stack([corner, corner + 1, corner + around + 2], 1),
        np.stack([corner, corner + around + 2, corner + around + 1], 1),
    ]).astype(np.int32)
    turn, height = np.meshgrid(np.arange(around + 1) / around, along)
    skin = Mesh(
        closed.reshape(-1, 3), faces, _grid_normals(grid),
        np.stack([turn, height], -1).reshape(-1, 2).astype(np.float32), length,
    )
    caps = [_cap(grid[0, ::-1], length, 0.0), _cap(grid[-1], length, float(along[-1]))]
    return outward(merge([skin, *caps]))


def _cap(ring: Float, length: float, height: float) -> Mesh:
    flat = flat_polygon(ring, np.zeros((len(ring), 2)))
    uv = np.tile(np.array([[0.25 / max(length, 1e-6), height]], np.float32), (len(ring) + 1, 1))
    return Mesh(flat.vertices, flat.faces, flat.normals, uv, length)


def _grid_normals(grid: Float) -> Float:
    around = np.roll(grid, -1, 1) - np.roll(grid, 1, 1)
    along = np.gradient(grid, axis=0)
    normals = unit(np.cross(around, along).astype(np.float32))
    return np.concatenate([normals, normals[:, :1]], 1).reshape(-1, 3)


def tube(points: ArrayLike, radius: float | Sequence[float], segments: int = 8) -> Mesh:
    """A round tube along a polyline, with flat ends.

    Args:
        points: (K, 3) centre line.
        radius: one radius, or one for each point.
        segments: facets around.
    """
    line = np.asarray(points, np.float64)
    radii = np.broadcast_to(np.asarray(radius, np.float64), (len(line),))
    tangents = np.gradient(line, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    side = np.eye(3)[int(np.abs(tangents[0]).argmin())]
    ring = circle(1.0, segments)
    rings = []
    for point, tangent, size in zip(line, tangents, radii, strict=True):
        side = side - (side @ tangent) * tangent
        side /= np.linalg.norm(side)
        up = np.cross(tangent, side)
        rings.append(point + size * (ring[:, :1] * side + ring[:, 1:] * up))
    return loft(np.array(rings))


def arc(
    centre: tuple[float, float], radius: tuple[float, float], start: float, end: float, count: int
) -> Float:
    """Points of an elliptic arc in the xy plane, angles in degrees from +x towards +y.

    Returns:
        (count, 3) float32 points with z = 0.
    """
    angles = np.radians(np.linspace(start, end, count))
    return np.stack([
        centre[0] + radius[0] * np.cos(angles), centre[1] + radius[1] * np.sin(angles),
        np.zeros(count),
    ], 1).astype(np.float32)


def oval_section(
    width: float, low: float, high: float, z: float, count: int = 12, power: float = 1.0
) -> Float:
    """An upright oval ring at a given z, for lofts along z.

    Args:
        width: half width in x.
        low: lowest y.
        high: highest y.
        z: where the ring lies.
        count: points around.
        power: 1 for an ellipse, smaller for a squarer ring.

    Returns:
        (count, 3) float32.
    """
    angles = (np.arange(count) + 0.5) * (2 * math.pi / count)
    cos, sin = np.cos(angles), np.sin(angles)
    x = width * np.sign(cos) * np.abs(cos) ** power
    y = 0.5 * (low + high) + 0.5 * (high - low) * np.sign(sin) * np.abs(sin) ** power
    return np.stack([x, y, np.full(count, z)], 1).astype(np.float32)
