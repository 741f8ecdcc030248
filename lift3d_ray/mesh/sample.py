"""Points drawn from a mesh's surface."""

from __future__ import annotations

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import face_crosses, unit
from lift3d_ray.types import Float32, Mesh, PointCloud


def sample_points(mesh: Mesh, count: int, generator: np.random.Generator) -> PointCloud:
    """Points spread evenly over the surface, with its colours and normals there.

    Args:
        mesh: the mesh to draw from.
        count: number of points.
        generator: owns the randomness; the same state draws the same points.
    """
    if count < 1:
        raise ConfigError(f"count must be 1 or more points, got {count}")
    area = np.linalg.norm(face_crosses(mesh.vertices_N3, mesh.faces_F3), axis=-1)
    total = np.cumsum(area)
    if not (len(total) and total[-1] > 0):
        raise ConfigError(f"the mesh has no area to draw points from ({len(area)} faces)")
    # One draw in each of ``count`` equal strips of the total area: no clumps, no bald spots.
    place = (np.arange(count) + generator.random(count)) / count * total[-1]
    face = np.minimum(np.searchsorted(total, place, side="right"), len(area) - 1)
    corners = mesh.faces_F3[face]
    root, along = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - along), root * along], axis=-1)

    def carried(values_N3: Float32) -> Float32:
        return np.asarray(np.einsum("nkc,nk->nc", values_N3[corners], weights), dtype=np.float32)

    return PointCloud(
        xyz_N3=carried(mesh.vertices_N3),
        rgb_N3=np.clip(carried(mesh.colors_N3), 0.0, 1.0),
        normals_N3=unit(carried(mesh.normals_N3)),
    )
