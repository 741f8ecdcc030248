"""A surface unwrapped into one square texture: charts by xatlas, texels by our own z-buffer.

Shape suffixes: N vertices, F faces, T covered texels, S texture side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from lift3d_ray.errors import ExportError
from lift3d_ray.mesh.geometry import Int32, unit
from lift3d_ray.mesh.zbuffer import nearest_faces
from lift3d_ray.types import Float32, Int64, UInt8

GUTTER_PX = 2
"""Texels kept free around every chart, about, so that filtering does not mix it with its neighbours."""


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """An unwrapped mesh and where its texels lie.

    Attributes:
        vertices_N3: (N, 3) float32; those on a seam come once for each chart.
        faces_F3: (F, 3) int32.
        normals_N3: (N, 3) float32 unit vectors.
        uv_N2: (N, 2) float32 in [0, 1], from the texture's top left corner.
        size: S, texels.
        texel_T: (T,) int64 covered texels, flat.
        xyz_T3: (T, 3) float32 where they lie on the surface.
        texel_normals_T3: (T, 3) float32 unit normals there.
    """

    vertices_N3: Float32
    faces_F3: Int32
    normals_N3: Float32
    uv_N2: Float32
    size: int
    texel_T: Int64
    xyz_T3: Float32
    texel_normals_T3: Float32


def unwrap(vertices_N3: Float32, faces_F3: Int32, normals_N3: Float32, *, size: int) -> Atlas:
    """Cut a mesh into charts and lay them out.

    Args:
        vertices_N3: (N, 3) float32.
        faces_F3: (F, 3) int32.
        normals_N3: (N, 3) float32.
        size: side of the texture.

    Raises:
        ExportError: no chart covers a texel.
    """
    import xatlas

    charts = xatlas.Atlas()
    charts.add_mesh(np.ascontiguousarray(vertices_N3), np.ascontiguousarray(faces_F3, dtype=np.uint32), normals_N3)
    pack = xatlas.PackOptions()
    pack.resolution, pack.padding = size, GUTTER_PX
    charts.generate(xatlas.ChartOptions(), pack)
    origin, faces, uv = charts[0]
    # The layout comes out somewhat larger or smaller than asked for: it is scaled to the texture, not the other way
    # round, because not every viewer can show a side that is no power of two.
    layout = np.array([charts.width, charts.height], dtype=np.float32) * (size / max(charts.width, charts.height))
    place = np.asarray(uv, dtype=np.float32) * layout
    corners = np.asarray(faces, dtype=np.int32)
    texel, xyz, normals = covered_texels(vertices_N3[origin], normals_N3[origin], corners, place, size)
    return Atlas(
        vertices_N3=vertices_N3[origin],
        faces_F3=corners,
        normals_N3=normals_N3[origin],
        uv_N2=np.asarray(place / size, dtype=np.float32),
        size=size,
        texel_T=texel,
        xyz_T3=xyz,
        texel_normals_T3=normals,
    )


def fill_gutters(atlas: Atlas, rgb_T3: Float32) -> UInt8:
    """(S, S, 3) uint8 sRGB texture; texels that no chart covers take the nearest covered one's colour."""
    picture = np.zeros((atlas.size**2, 3), dtype=np.float32)
    picture[atlas.texel_T] = rgb_T3
    empty = np.ones(atlas.size**2, dtype=bool)
    empty[atlas.texel_T] = False
    side = (atlas.size, atlas.size)
    row, column = distance_transform_edt(empty.reshape(side), return_distances=False, return_indices=True)
    filled = picture.reshape(*side, 3)[row, column]
    return np.asarray(np.round(np.clip(filled, 0, 1) * 255), dtype=np.uint8)


def covered_texels(
    vertices_N3: Float32, normals_N3: Float32, faces_F3: Int32, place_N2: Float32, side: int
) -> tuple[Int64, Float32, Float32]:
    """Which texels of a square texture faces at these places cover, and positions and normals there.

    Args:
        vertices_N3: (N, 3) positions.
        normals_N3: (N, 3) normals.
        faces_F3: (F, 3) faces.
        place_N2: (N, 2) where each vertex lies in the texture, in texels.
        side: of the texture.

    Raises:
        ExportError: no texel is covered.
    """
    # Charts may be mirrored, so every face is drawn from both sides.
    both = np.concatenate([faces_F3, faces_F3[:, ::-1]])
    flat = np.ones((1, len(place_N2)), dtype=np.float32)
    hits = nearest_faces(place_N2[None, :, 0], place_N2[None, :, 1], flat, both, side)
    if len(hits.pixel_P) == 0:
        raise ExportError(f"no texel of a {side} x {side} texture is covered: ask for a larger texture")
    carried = hits.interpolate(both, np.concatenate([vertices_N3, normals_N3], axis=1))
    return hits.pixel_P, np.ascontiguousarray(carried[:, :3]), unit(carried[:, 3:])
