"""The half of a solid that the photo hides, from the half that it shows.

What stands behind the photo's surface is a guess. Where the solid has a vertical plane of symmetry, its mirror image
knows more of some of it: of every place that the photo hides and whose mirror image it shows.

Shape suffixes: R grid points along an axis, P of them.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from lift3d_ray.mesh.geometry import Int32
from lift3d_ray.mesh.photo_view import PhotoView, depth_picture
from lift3d_ray.mesh.symmetry import SymmetryPlane, mirrored_points
from lift3d_ray.types import Float32

SKIN = 0.15
"""How far behind the surface that the photo shows a place still counts as shown, world units."""


def with_mirrored_half(
    density_RRR: Float32, vertices_N3: Float32, faces_F3: Int32, plane: SymmetryPlane, view: PhotoView
) -> Float32:
    """The density, and where the photo hides a place and shows its mirror image, at least the mirror image's.

    Matter is added and never taken: what the photo shows stays as it is, from its own side.

    Args:
        density_RRR: (R, R, R) float32, the first sample of each axis at -1 and the last at 1; larger is more solid.
        vertices_N3: (N, 3) float32 world, the surface that was cut out of it ...
        faces_F3: (F, 3) int32 ... and its faces.
        plane: of its symmetry.
        view: the photo.

    Returns:
        (R, R, R) float32; the given array itself where nothing is added.
    """
    resolution = len(density_RRR)
    axis = np.linspace(-1, 1, resolution, dtype=np.float32)
    points_P3 = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    front_SS = depth_picture(vertices_N3, faces_F3, view)
    hidden_P = np.flatnonzero(_behind(points_P3, front_SS, view) > SKIN)
    twins_P3 = mirrored_points(points_P3[hidden_P], plane)
    shown = _behind(twins_P3, front_SS, view) <= SKIN
    hidden_P, twins_P3 = hidden_P[shown], twins_P3[shown]
    mirrored_P = at_places(density_RRR, twins_P3)
    more = mirrored_P > density_RRR.reshape(-1)[hidden_P]
    if not more.any():
        return density_RRR
    whole = density_RRR.copy()
    whole.reshape(-1)[hidden_P[more]] = mirrored_P[more]
    return whole


def at_places(values_RRR: Float32, xyz_P3: Float32) -> Float32:
    """(P,) a grid's values between its samples, which fill the cube from -1 to 1; its edge values outside."""
    cells_3P = (xyz_P3.T + 1) * ((len(values_RRR) - 1) / 2)
    return np.asarray(map_coordinates(values_RRR, cells_3P, order=1, mode="nearest"), dtype=np.float32)


def _behind(points_P3: Float32, front_SS: Float32, view: PhotoView) -> Float32:
    """(P,) how far behind the photo's surface a place lies, negative before it; NaN outside the picture."""
    xy_P2, depth_P = view.project(points_P3)
    column_P, row_P = np.clip(np.floor(xy_P2), 0, view.size_px - 1).astype(np.int64).T
    within_P = ((xy_P2 >= 0) & (xy_P2 < view.size_px)).all(axis=1)
    return np.asarray(np.where(within_P, depth_P - front_SS[row_P, column_P], np.nan), dtype=np.float32)
