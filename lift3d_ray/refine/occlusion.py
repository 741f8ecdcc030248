"""Who stands in front: a z-buffer of points, and what a mesh hides from a camera.

Shape suffixes: N points, S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter

from lift3d_ray.cameras import CANONICAL, Framing, focal_px, project
from lift3d_ray.mesh.geometry import unit
from lift3d_ray.types import Bool, Float32

LEAST_COSINE = 0.1
"""Surfaces more grazing than this are treated as if they stood at this cosine: their slope has no bound."""


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """A camera and what its square picture frames.

    Attributes:
        azimuth_deg: relative to the photo.
        elevation_deg: above the horizon.
        c2w_44: (4, 4) float32 camera-to-world.
        framing: zoom and shift of its pictures.
    """

    azimuth_deg: float
    elevation_deg: float
    c2w_44: Float32
    framing: Framing = CANONICAL

    def project(self, xyz_N3: Float32, size: int) -> tuple[Float32, Float32]:
        """Pixel positions (N, 2) and depths (N,) of world points in a picture of side ``size``."""
        return project(xyz_N3, self.c2w_44, size, framing=self.framing)

    def facing(self, xyz_N3: Float32, normals_N3: Float32) -> Float32:
        """(N,) cosine between each normal and the way to the camera."""
        toward = unit(self.c2w_44[:3, 3] - xyz_N3)
        return np.asarray(np.einsum("ni,ni->n", normals_N3, toward), dtype=np.float32)


def point_depth(xy_px_N2: Float32, depth_N: Float32, size: int) -> Float32:
    """(S, S) float32 depth of the nearest point in each pixel, infinite where there is none.

    Args:
        xy_px_N2: (N, 2) pixel positions; those outside the picture or behind the camera are left out.
        depth_N: (N,) z-depths.
        size: side of the picture.
    """
    column, row = np.floor(xy_px_N2).astype(np.int64).T
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size) & (depth_N > 0)
    nearest = np.full(size * size, np.inf, dtype=np.float32)
    np.minimum.at(nearest, (row * size + column)[inside], depth_N[inside])
    return nearest.reshape(size, size)


def depth_at(depth_SS: Float32, xy_px_N2: Float32) -> Float32:
    """(N,) the least depth in the 3 x 3 pixels around each position, infinite outside the picture."""
    size = depth_SS.shape[0]
    column, row = np.floor(xy_px_N2).astype(np.int64).T
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    found = np.full(len(xy_px_N2), np.inf, dtype=np.float32)
    found[inside] = minimum_filter(depth_SS, size=3, mode="nearest")[row[inside], column[inside]]
    return found


def depth_tolerance(viewpoint: Viewpoint, size: int, depth_N: Float32, facing_N: Float32, extent: float) -> Float32:
    """(N,) how far behind a depth picture a point may lie and still be what the picture shows, world units.

    Depth changes within a pixel by its footprint times the surface's slope; a little of the scene's size is added. So
    the bound follows the resolution and the scene, where Make-It-3D has fixed numbers for 800 pixels.

    Args:
        viewpoint: the camera.
        size: side of the depth picture.
        depth_N: (N,) depths of the points.
        facing_N: (N,) their cosines towards the camera.
        extent: diagonal of the scene's box.
    """
    cosine = np.clip(np.abs(facing_N), LEAST_COSINE, 1.0)
    slope = np.sqrt(1 - cosine**2) / cosine
    footprint = depth_N / focal_px(size, framing=viewpoint.framing)
    return np.asarray(0.002 * extent + 2.0 * footprint * (slope + 0.5), dtype=np.float32)


def visible(xyz_N3: Float32, normals_N3: Float32, depth_SS: Float32, viewpoint: Viewpoint, extent: float) -> Bool:
    """(N,) bool which points a camera sees, given the depth picture of what stands there.

    Args:
        xyz_N3: (N, 3) points on the surface.
        normals_N3: (N, 3) unit normals there.
        depth_SS: (S, S) z-depth of the nearest surface, infinite where there is none.
        viewpoint: the camera.
        extent: diagonal of the scene's box.
    """
    size = depth_SS.shape[0]
    xy_px, depth = viewpoint.project(xyz_N3, size)
    facing = viewpoint.facing(xyz_N3, normals_N3)
    inside = ((xy_px >= 0) & (xy_px < size)).all(axis=1) & (depth > 0)
    reach = depth_at(depth_SS, xy_px) + depth_tolerance(viewpoint, size, depth, facing, extent)
    return np.asarray(inside & (facing > 0) & (depth <= reach))
