"""From an optimised field to the coloured mesh that the user gets."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from lift3d_ray.cameras import Framing
from lift3d_ray.field.voxels import VoxelField, query, raw_density_grid
from lift3d_ray.mesh.colors import color_mesh
from lift3d_ray.mesh.geometry import Int32
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.mirrored_half import at_places, with_mirrored_half
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.pieces import drop_floaters
from lift3d_ray.mesh.simplify import simplify
from lift3d_ray.mesh.symmetry import SymmetryPlane, find_symmetry, mirrored_points, mirrored_view
from lift3d_ray.recipes import MeshConfig
from lift3d_ray.types import Float32, Mesh, Subject

_GROWN = 0.05
"""Raw density that the mirror image must have added for a place to be the mirror image's."""


def mesh_field(
    field: VoxelField, sharpness: float, config: MeshConfig, subject: Subject, c2w_44: Float32, framing: Framing
) -> Mesh:
    """Cut the field at the recipe's level, simplify, colour all round, and lay the photo's own pixels on what it sees.

    Args:
        field: the optimised field.
        sharpness: slope of its density.
        config: resolution, level and number of faces.
        subject: the photo's cut-out.
        c2w_44: (4, 4) the photo's camera.
        framing: its zoom and shift.

    Raises:
        OptimizationFailed: nothing solid is left.
    """
    density = gaussian_filter(raw_density_grid(field, config.resolution).cpu().numpy(), config.blur_voxels)
    view = PhotoView(subject=subject, c2w_44=c2w_44, framing=framing)
    vertices, faces = _cut(density, view, config)
    plane = _symmetry(vertices, faces, config)
    grown: Float32 | None = None
    if plane is not None and config.mirror_solid:
        whole = with_mirrored_half(density, vertices, faces, plane, view)
        if whole is not density:
            vertices, faces = _cut(whole, view, config)
            grown = whole - density

    def field_color(xyz_N3: Float32) -> Float32:
        with torch.no_grad():
            points = torch.from_numpy(xyz_N3).to(field.values_V4)
            colors: Float32 = query(field, points, sharpness)[1].float().cpu().numpy()
        return colors

    def color_at(xyz_N3: Float32) -> Float32:
        if plane is None or grown is None:
            return field_color(xyz_N3)
        # Where the field has nothing of its own, it has no colour either that anything was ever fitted to.
        added_N = at_places(grown, xyz_N3) > _GROWN
        return field_color(np.where(added_N[:, None], mirrored_points(xyz_N3, plane), xyz_N3))

    twin = None if plane is None else mirrored_view(view, plane)
    return color_mesh(vertices, faces, color_at, view, twin=twin, likeness=config.likeness)


def _cut(density_RRR: Float32, view: PhotoView, config: MeshConfig) -> tuple[Float32, Int32]:
    """The surface at the recipe's level, without floaters, simplified."""
    vertices, faces = extract_mesh(density_RRR, config.level, smooth_iterations=config.smooth_iterations)
    vertices, faces = drop_floaters(vertices, faces, view)
    return simplify(vertices, faces, target_faces=config.faces)


def _symmetry(vertices_N3: Float32, faces_F3: Int32, config: MeshConfig) -> SymmetryPlane | None:
    """The plane about which the surface is symmetric enough, if any."""
    if not config.symmetry:
        return None
    plane = find_symmetry(vertices_N3, faces_F3)
    return plane if plane.error <= config.symmetry else None
