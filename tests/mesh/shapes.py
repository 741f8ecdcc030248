"""Shapes whose surfaces are known, and pictures taken of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lift3d_ray.cameras import CANONICAL, Framing
from lift3d_ray.mesh.colors import paint_field
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.rasterize import rasterize, to_uint8
from lift3d_ray.types import CropMap, Float32, Mesh, Subject

LEVEL = 10.0


def grid(resolution: int) -> tuple[Float32, Float32, Float32]:
    axis = np.linspace(-1, 1, resolution, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


def ball_density(
    radius: float, *, centre: tuple[float, float, float] = (0, 0, 0), resolution: int = 48, slope: float = 100.0
) -> Float32:
    """A density that crosses LEVEL on a sphere and rises inwards."""
    x, y, z = grid(resolution)
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return np.asarray(LEVEL + slope * (radius - distance), dtype=np.float32)


def flat(r: float, g: float, b: float) -> Callable[[Float32], Float32]:
    return lambda xyz_N3: np.broadcast_to(np.array([r, g, b], np.float32), xyz_N3.shape)


def ball(
    radius: float = 0.7,
    color_at: Callable[[Float32], Float32] | None = None,
    *,
    centre: tuple[float, float, float] = (0, 0, 0),
    resolution: int = 48,
) -> Mesh:
    vertices, faces = extract_mesh(ball_density(radius, centre=centre, resolution=resolution), LEVEL)
    return paint_field(vertices, faces, color_at or flat(0.5, 0.5, 0.5))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices_N3) for mesh in meshes[:-1])])
    faces = [mesh.faces_F3 + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(
        vertices_N3=np.concatenate([mesh.vertices_N3 for mesh in meshes]),
        faces_F3=np.concatenate(faces).astype(np.int32),
        normals_N3=np.concatenate([mesh.normals_N3 for mesh in meshes]),
        colors_N3=np.concatenate([mesh.colors_N3 for mesh in meshes]),
    )


def square(z: float = 0.0, side: float = 1.0, rgb: tuple[float, float, float] = (1, 0, 0)) -> Mesh:
    """An open square that faces +Z."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * (side / 2)
    return Mesh(
        vertices_N3=np.concatenate([corners, np.full((4, 1), z, np.float32)], axis=1),
        faces_F3=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        normals_N3=np.tile(np.array([0, 0, 1], np.float32), (4, 1)),
        colors_N3=np.tile(np.array(rgb, np.float32), (4, 1)),
    )


def photographed(
    mesh: Mesh,
    c2w_44: Float32,
    *,
    size: int = 128,
    framing: Framing = CANONICAL,
    background: tuple[int, int, int] = (0, 0, 0),
) -> Subject:
    """What a photo of the mesh before a flat background holds, with its true alpha."""
    views = rasterize(mesh, c2w_44[None], size=size, framing=framing)
    alpha = views.alpha_VHW[0]
    over_white = views.rgb_VHWC[0]
    behind = np.array(background, np.float32) / 255
    rgb = over_white - (1 - alpha[..., None]) * (1 - behind)
    crop = CropMap(x0_px=0.0, y0_px=0.0, side_px=float(size), size_px=size)
    return Subject(rgb_HWC=to_uint8(rgb), alpha_HW=alpha, crop=crop, score=1.0)
