"""Toys and cameras that several tests share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lift3d_ray.cameras import DEFAULT_RADIUS, orbit_c2w, pixel_rays
from lift3d_ray.toybox import Attributes, ToyObject, assemble
from lift3d_ray.toybox.parts import primary
from lift3d_ray.toybox.primitives import Mesh

Float = NDArray[np.float32]


def toy_of(*meshes: Mesh) -> ToyObject:
    return assemble(primary(*meshes), Attributes("ball", "red", None, "plain"), np.random.default_rng(0))


def assert_normalised(toy: ToyObject) -> None:
    """Box centred, farthest vertex at distance 1, unit normals."""
    assert np.linalg.norm(toy.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(toy.vertices.max(0), -toy.vertices.min(0), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(toy.normals, axis=1), 1, atol=1e-5)


def cameras(*angles: tuple[float, float]) -> Float:
    azimuth, elevation = zip(*angles, strict=True)
    return orbit_c2w(azimuth, elevation, DEFAULT_RADIUS)


def cast(obj: ToyObject, c2w_44: Float, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Nearest z-depth of every pixel ray by testing all triangles; also which rays pass near an edge."""
    origins, directions = pixel_rays(c2w_44[None], size)
    corners = obj.vertices[obj.faces].astype(np.float64)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    depth = np.zeros((size, size))
    near_edge = np.zeros((size, size), bool)
    for row in range(size):
        for column in range(size):
            origin, ray = origins[0, row, column].astype(np.float64), directions[0, row, column].astype(np.float64)
            across = np.cross(ray, edge_2)
            scale = (edge_1 * across).sum(1)
            scale = np.where(np.abs(scale) < 1e-12, np.inf, scale)
            offset = origin - corners[:, 0]
            u = (offset * across).sum(1) / scale
            turned = np.cross(offset, edge_1)
            v = (turned @ ray) / scale
            t = (edge_2 * turned).sum(1) / scale
            least = np.minimum(np.minimum(u, v), 1 - u - v)
            hit = (least >= 0) & np.isfinite(scale)
            near_edge[row, column] = bool((np.abs(least[np.isfinite(scale)]) < 1e-4).any())
            depth[row, column] = t[hit].min() if hit.any() else 0.0
    return depth, near_edge
