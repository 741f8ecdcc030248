"""Toys that no class describes: pieces resized one by one, tapered and bent shapes, two toys joined to one.

What is learnt about shapes should hold for things of no class at all. These are such things, with known solids: for
roles that look at shapes, not for those that name them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import rotation, unit
from lift3d_ray.toybox.warp import Float64, in_unit_ball
from lift3d_ray.toybox.world import ToyObject

_SIZE_MEAN, _SIZE_SPREAD, _SIZE_LIMIT = 0.03, 0.14, 0.4
"""Of the logarithm of a piece's scale; a little larger on the whole, so that pieces keep touching."""
_TAPER = 0.4
_BEND = 0.25
_JOINED_SIZE = (0.35, 0.9)
Move = Callable[[Float64], Float64]


def resize_parts(toy: ToyObject, rng: np.random.Generator) -> ToyObject:
    """Every piece wider, taller or deeper about its own middle; pieces of one size, such as legs, alike.

    Args:
        toy: normalised.
        rng: draws the sizes.

    Returns:
        a normalised toy; the words stay true.
    """
    vertices = toy.vertices.astype(np.float64)
    normals = toy.normals.astype(np.float64)
    part_of = _part_of_vertex(toy)
    scales: dict[tuple[int, ...], Float64] = {}
    for part in range(int(toy.face_part.max()) + 1):
        own = part_of == part
        if not own.any():
            continue
        low, high = vertices[own].min(0), vertices[own].max(0)
        kind = (int(own.sum()), *(int(v) for v in np.round((high - low) * 100)))
        if kind not in scales:
            drawn = rng.normal(_SIZE_MEAN, _SIZE_SPREAD, 3).clip(-_SIZE_LIMIT, _SIZE_LIMIT)
            # Mostly one factor for all axes, so that balls stay nearly balls.
            scales[kind] = np.exp(0.6 * drawn.mean() * np.sqrt(3) + 0.5 * drawn)
        middle = (low + high) / 2
        vertices[own] = middle + (vertices[own] - middle) * scales[kind]
        normals[own] /= scales[kind]
    return replace(toy, vertices=in_unit_ball(vertices), normals=unit(normals.astype(np.float32)))


def taper_toy(toy: ToyObject, rng: np.random.Generator) -> ToyObject:
    """Narrower above than below or the other way round, left and right alike; the words stay true."""
    amount = rng.uniform(-_TAPER, _TAPER, 2)

    def taper(points: Float64) -> Float64:
        across = 1 + amount * points[:, 1:2]
        return np.stack([points[:, 0] * across[:, 0], points[:, 1], points[:, 2] * across[:, 1]], 1)

    return _deformed(toy, taper)


def bend_toy(toy: ToyObject, rng: np.random.Generator) -> ToyObject:
    """Bowed forwards, backwards or sideways along its height and its depth."""
    over_y, over_z = rng.normal(0, _BEND, (2, 3)).clip(-2 * _BEND, 2 * _BEND)
    # A bow along an axis does not move along that axis.
    over_y[1], over_z[2] = 0.0, 0.0
    return _deformed(toy, lambda p: p + p[:, 1:2] ** 2 * over_y + p[:, 2:3] ** 2 * over_z)


def join_toys(first: ToyObject, second: ToyObject, rng: np.random.Generator) -> ToyObject:
    """One thing of two toys: the second smaller, turned, on top of the first, beside it or stuck into it.

    Pattern, light and words are the first's.
    """
    size = rng.uniform(*_JOINED_SIZE)
    turn = rotation("y", float(rng.choice([0, 90, 180, 270]) + rng.normal(0, 8))).astype(np.float64)
    added = second.vertices.astype(np.float64) @ turn.T * size
    low, high = first.vertices.min(0).astype(np.float64), first.vertices.max(0).astype(np.float64)
    place = rng.uniform(0.5 * low, 0.5 * high)
    side = int(rng.integers(4))
    sunk = rng.uniform(0.0, 0.35) * size
    if side == 0:
        place[1] = high[1] - added[:, 1].min() - sunk
    elif side == 1:
        place[0] = high[0] - added[:, 0].min() - sunk
        place[1] = low[1] - added[:, 1].min()
    elif side == 2:
        place[2] = high[2] - added[:, 2].min() - sunk
    vertices = np.concatenate([first.vertices.astype(np.float64), added + place])
    return replace(
        first,
        vertices=in_unit_ball(vertices),
        normals=np.concatenate([first.normals, (second.normals @ turn.T).astype(np.float32)]),
        uv=np.concatenate([first.uv, second.uv]),
        faces=np.concatenate([first.faces, second.faces + len(first.vertices)]).astype(np.int32),
        face_part=np.concatenate([first.face_part, second.face_part + first.face_part.max() + 1]).astype(np.int32),
        face_paint=np.concatenate([first.face_paint, second.face_paint + len(first.palette)]).astype(np.int32),
        palette=np.concatenate([first.palette, second.palette]),
    )


def _part_of_vertex(toy: ToyObject) -> NDArray[np.int64]:
    part_of = np.full(len(toy.vertices), -1, dtype=np.int64)
    part_of[toy.faces.ravel()] = np.repeat(toy.face_part, 3)
    return part_of


def _deformed(toy: ToyObject, move: Move) -> ToyObject:
    """The toy with every point moved; normals by the inverse transpose of the numerical Jacobian."""
    before = toy.vertices.astype(np.float64)
    step = 1e-4
    columns = [(move(before + step * axis) - move(before - step * axis)) / (2 * step) for axis in np.eye(3)]
    jacobian_V33 = np.stack(columns, axis=-1)
    # Solved as J^T n' = n: the direction is all that counts.
    normals = np.linalg.solve(jacobian_V33.transpose(0, 2, 1), toy.normals.astype(np.float64)[..., None])[..., 0]
    return replace(toy, vertices=in_unit_ball(move(before)), normals=unit(normals.astype(np.float32)))
