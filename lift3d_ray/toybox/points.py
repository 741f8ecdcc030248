"""Coloured samples of a toy's surface."""

from __future__ import annotations

import numpy as np

from lift3d_ray.toybox.mesh import Float, unit
from lift3d_ray.toybox.shading import albedo
from lift3d_ray.toybox.world import ToyObject


def surface_points(
    obj: ToyObject, n: int, rng: np.random.Generator
) -> tuple[Float, Float, Float]:
    """Draws points evenly over the surfaces of all parts of a toy.

    Parts may reach into each other, so a few points lie inside.

    Args:
        obj: the toy.
        n: number of points.
        rng: source of randomness.

    Returns:
        positions (n, 3) float32 in the world frame, unlit colours (n, 3) float32 in [0, 1] and
        shading normals (n, 3) float32, unit vectors.
    """
    a, b, c = (obj.vertices[obj.faces[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(area), size=n, p=area / area.sum())
    root, share = np.sqrt(rng.random(n)), rng.random(n)
    weights = np.stack([1 - root, root * (1 - share), root * share], 1).astype(np.float32)
    corners = obj.faces[face]

    def mix(values: Float) -> Float:
        return np.asarray(np.einsum("nk,nkc->nc", weights, values[corners]), np.float32)

    return mix(obj.vertices), albedo(obj, face, mix(obj.uv)), unit(mix(obj.normals))
