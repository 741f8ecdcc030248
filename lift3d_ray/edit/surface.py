"""An asset's surface with its colours, in two forms: texels to be exported, and a mesh to be looked at.

The texels lie on the file's own faces. The mesh may have more vertices, since its pictures take their colours from
those alone: it is the same surface, cut finer.

Shape suffixes: N vertices, F faces, T covered texels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from lift3d_ray.edit.glb import GlbSurface
from lift3d_ray.mesh.refine import split_edges, unique_edges
from lift3d_ray.refine.atlas import Atlas, covered_texels, fill_gutters, unwrap
from lift3d_ray.types import Float32, Mesh, TexturedMesh

FINE_VERTICES = 30_000
"""A surface whose colours come from a texture is cut finer until it has about so many vertices."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A surface and its colours.

    Attributes:
        mesh: what is looked at.
        atlas: the file's vertices and faces, and where its texels lie.
        rgb_T3: (T, 3) float32 sRGB in [0, 1] of the texels.
    """

    mesh: Mesh
    atlas: Atlas
    rgb_T3: Float32

    def textured(self) -> TexturedMesh:
        """What is exported."""
        return TexturedMesh(
            vertices_N3=self.atlas.vertices_N3,
            faces_F3=self.atlas.faces_F3,
            normals_N3=self.atlas.normals_N3,
            uv_N2=self.atlas.uv_N2,
            texture_SSC=fill_gutters(self.atlas, self.rgb_T3),
        )


def read_surface(glb: GlbSurface, *, texture_px: int) -> Surface:
    """The surface of an asset's GLB.

    A texture's layout is kept; a surface whose colours lie at its vertices is unwrapped. No vertex moves.

    Args:
        glb: what the file holds.
        texture_px: side of the texture where the file has none.

    Raises:
        ExportError: the texture is too small to hold anything.
    """
    if glb.colors_N3 is not None:
        return _unwrapped(glb, glb.colors_N3, texture_px)
    assert glb.uv_N2 is not None
    assert glb.texture_SSC is not None
    side = glb.texture_SSC.shape[0]
    texel, xyz, normals = covered_texels(glb.vertices_N3, glb.normals_N3, glb.faces_F3, glb.uv_N2 * side, side)
    atlas = Atlas(
        vertices_N3=glb.vertices_N3,
        faces_F3=glb.faces_F3,
        normals_N3=glb.normals_N3,
        uv_N2=glb.uv_N2,
        size=side,
        texel_T=texel,
        xyz_T3=xyz,
        texel_normals_T3=normals,
    )
    rgb = glb.texture_SSC.reshape(-1, 3)[texel].astype(np.float32) / np.float32(255)
    return Surface(mesh=_fine(_welded(glb), atlas, rgb), atlas=atlas, rgb_T3=rgb)


def _unwrapped(glb: GlbSurface, colors_N3: Float32, texture_px: int) -> Surface:
    atlas = unwrap(glb.vertices_N3, glb.faces_F3, glb.normals_N3, size=texture_px)
    # Vertices come once for each chart, moved by nothing: the nearest one is the one.
    _, origin = cKDTree(glb.vertices_N3).query(atlas.vertices_N3)
    place = atlas.uv_N2 * atlas.size
    _, rgb, _ = covered_texels(colors_N3[origin], atlas.normals_N3, atlas.faces_F3, place, atlas.size)
    mesh = Mesh(vertices_N3=glb.vertices_N3, faces_F3=glb.faces_F3, normals_N3=glb.normals_N3, colors_N3=colors_N3)
    return Surface(mesh=mesh, atlas=atlas, rgb_T3=rgb)


def _welded(glb: GlbSurface) -> Mesh:
    """The mesh with the vertices of a seam joined again, without colours."""
    vertices, first, joined = np.unique(glb.vertices_N3, axis=0, return_index=True, return_inverse=True)
    return Mesh(
        vertices_N3=vertices,
        faces_F3=joined.reshape(-1)[glb.faces_F3].astype(np.int32),
        normals_N3=glb.normals_N3[first],
        colors_N3=np.zeros_like(vertices),
    )


def _fine(mesh: Mesh, atlas: Atlas, rgb_T3: Float32) -> Mesh:
    """The mesh cut finer, its vertices in the colours of the nearest texels on their side."""
    while len(mesh.vertices_N3) < FINE_VERTICES / 2:
        edges, edge_of = unique_edges(mesh.faces_F3)
        mesh = split_edges(mesh, edges, edge_of, np.ones(len(edges), dtype=bool))
    # Normals count as places too, so that the two sides of a thin part do not paint each other.
    reach = 0.05 * float(np.linalg.norm(np.ptp(mesh.vertices_N3, axis=0)))
    tree = cKDTree(np.concatenate([atlas.xyz_T3, reach * atlas.texel_normals_T3], axis=1))
    _, nearest = tree.query(np.concatenate([mesh.vertices_N3, reach * mesh.normals_N3], axis=1))
    return replace(mesh, colors_N3=rgb_T3[nearest])
