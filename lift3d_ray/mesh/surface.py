"""From an optimised field to the coloured mesh that the user gets."""

from __future__ import annotations

import torch
from scipy.ndimage import gaussian_filter

from lift3d_ray.cameras import Framing
from lift3d_ray.field.voxels import VoxelField, query, raw_density_grid
from lift3d_ray.mesh.colors import color_mesh
from lift3d_ray.mesh.geometry import Int32
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.pieces import drop_floaters
from lift3d_ray.mesh.simplify import simplify
from lift3d_ray.mesh.symmetry import find_symmetry, mirrored_view
from lift3d_ray.recipes import MeshConfig
from lift3d_ray.types import Float32, Mesh, Subject


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
    vertices, faces = extract_mesh(density, config.level, smooth_iterations=config.smooth_iterations)
    view = PhotoView(subject=subject, c2w_44=c2w_44, framing=framing)
    vertices, faces = drop_floaters(vertices, faces, view)
    vertices, faces = simplify(vertices, faces, target_faces=config.faces)

    def color_at(xyz_N3: Float32) -> Float32:
        with torch.no_grad():
            points = torch.from_numpy(xyz_N3).to(field.values_V4)
            colors: Float32 = query(field, points, sharpness)[1].float().cpu().numpy()
        return colors

    twin = _twin(vertices, faces, view, config)
    return color_mesh(vertices, faces, color_at, view, twin=twin, likeness=config.likeness)


def _twin(vertices_N3: Float32, faces_F3: Int32, view: PhotoView, config: MeshConfig) -> PhotoView | None:
    """The photo's mirror image, where the surface is symmetric enough."""
    if not config.symmetry:
        return None
    plane = find_symmetry(vertices_N3, faces_F3)
    return mirrored_view(view, plane) if plane.error <= config.symmetry else None
