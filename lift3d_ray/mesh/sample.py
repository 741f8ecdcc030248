"""Points drawn from a mesh's surface."""

from __future__ import annotations

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import Float64, Int32, face_crosses, unit
from lift3d_ray.types import Float32, Mesh, PointCloud


def sample_points(mesh: Mesh, count: int, generator: np.random.Generator) -> PointCloud:
    """Points spread evenly over the surface, with its colours and normals there.

    Args:
        mesh: the mesh to draw from.
        count: number of points.
        generator: owns the randomness; the same state draws the same points.

    Raises:
        ConfigError: no points asked for, or the mesh has no area.
    """
    corners, weights = _places(mesh.vertices_N3, mesh.faces_F3, count, generator)
    return PointCloud(
        xyz_N3=_carried(mesh.vertices_N3, corners, weights),
        rgb_N3=np.clip(_carried(mesh.colors_N3, corners, weights), 0.0, 1.0),
        normals_N3=unit(_carried(mesh.normals_N3, corners, weights)),
    )


def surface_points(vertices_N3: Float32, faces_F3: Int32, count: int, generator: np.random.Generator) -> Float32:
    """(count, 3) positions alone; arguments and errors as of ``sample_points``."""
    return _carried(vertices_N3, *_places(vertices_N3, faces_F3, count, generator))


def _places(
    vertices_N3: Float32, faces_F3: Int32, count: int, generator: np.random.Generator
) -> tuple[Int32, Float64]:
    """The corners (count, 3) of the faces that the points lie in, and their shares (count, 3)."""
    if count < 1:
        raise ConfigError(f"count must be 1 or more points, got {count}")
    area = np.linalg.norm(face_crosses(vertices_N3, faces_F3), axis=-1)
    total = np.cumsum(area)
    if not (len(total) and total[-1] > 0):
        raise ConfigError(f"the mesh has no area to draw points from ({len(area)} faces)")
    # One draw in each of ``count`` equal strips of the total area: no clumps, no bald spots.
    place = (np.arange(count) + generator.random(count)) / count * total[-1]
    face = np.minimum(np.searchsorted(total, place, side="right"), len(area) - 1)
    root, along = np.sqrt(generator.random(count)), generator.random(count)
    return faces_F3[face], np.stack([1 - root, root * (1 - along), root * along], axis=-1)


def _carried(values_N3: Float32, corners_K3: Int32, weights_K3: Float64) -> Float32:
    return np.asarray(np.einsum("nkc,nk->nc", values_N3[corners_K3], weights_K3), dtype=np.float32)
