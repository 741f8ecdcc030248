"""From refined pictures back onto the surface: what refinement changed is carried to vertices, points and texels.

Not the pictures themselves are baked but their difference from the first ones. The mesh's own colours are sharper than
pictures of its points, so where refinement changed nothing, nothing is lost.

Shape suffixes: N places on the surface, V viewpoints, S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from lift3d_ray.mesh.geometry import vertex_normals
from lift3d_ray.mesh.photo_view import DEFAULT_PAINT, PhotoView, clean_rim, place_weights, sample
from lift3d_ray.mesh.simplify import simplify
from lift3d_ray.recipes import Recipe
from lift3d_ray.refine.atlas import Atlas, fill_gutters, unwrap
from lift3d_ray.refine.fit import Refined
from lift3d_ray.refine.occlusion import visible
from lift3d_ray.refine.points import scene_extent
from lift3d_ray.refine.viewpoints import mesh_views, surface_depth
from lift3d_ray.types import Float32, Mesh, PointCloud, TexturedMesh

LEAST_WEIGHT = 1e-3
"""Places that all viewpoints together see less than this take the change of the nearest place that is seen."""

_NEIGHBOURS = 4


@dataclass(frozen=True, kw_only=True)
class Baked:
    """A refined result, ready to be exported.

    Attributes:
        mesh: the coarse mesh with refined vertex colours.
        textured: the same surface with the colours in a texture.
        points: the refined points.
    """

    mesh: Mesh
    textured: TexturedMesh
    points: PointCloud


def bake(mesh: Mesh, refined: Refined, view: PhotoView, recipe: Recipe) -> Baked:
    """Carry what refinement changed to the mesh, to a texture and to the points.

    Args:
        mesh: the coarse result that was refined.
        refined: its refined pictures.
        view: the photo with its camera; its own pixels stay where it sees the surface.
        recipe: faces of the textured mesh, side of its texture.
    """
    changes = Changes(mesh, refined, view)
    colors = changes.apply(mesh.vertices_N3, mesh.normals_N3, mesh.colors_N3)
    cloud = refined.points
    rgb = changes.apply(cloud.xyz_N3, cloud.normals_N3, cloud.rgb_N3)
    return Baked(
        mesh=replace(mesh, colors_N3=colors),
        textured=_textured(mesh, changes, view, recipe),
        points=PointCloud(xyz_N3=cloud.xyz_N3, rgb_N3=rgb, normals_N3=cloud.normals_N3),
    )


class Changes:
    """The difference of the refined pictures from the first ones, anywhere on the surface.

    Args:
        mesh: the surface that was refined.
        refined: its pictures.
        view: the photo with its camera; where it shows a place itself, the place is not changed.
    """

    def __init__(self, mesh: Mesh, refined: Refined, view: PhotoView) -> None:
        self._mesh, self._refined, self._view = mesh, refined, view
        self._extent = scene_extent(mesh)
        size = refined.before_VSSC.shape[1]
        self._depths = [surface_depth(shown) for shown in mesh_views(mesh, refined.viewpoints, size)]

    def apply(self, xyz_N3: Float32, normals_N3: Float32, rgb_N3: Float32) -> Float32:
        """(N, 3) colours with the change added, less of it the more the photo shows the place itself."""
        share = 1 - place_weights(xyz_N3, normals_N3, self._mesh, self._view)[:, None]
        return np.asarray(np.clip(rgb_N3 + share * self.at(xyz_N3, normals_N3), 0, 1), dtype=np.float32)

    def at(self, xyz_N3: Float32, normals_N3: Float32) -> Float32:
        """(N, 3) mean change over the viewpoints that see each place, the squared cosine of their angle as weight."""
        total = np.zeros_like(xyz_N3)
        weights = np.zeros((len(xyz_N3), 1), dtype=np.float32)
        found = self._refined
        for v, viewpoint in enumerate(found.viewpoints):
            change = found.after_VSSC[v] - found.before_VSSC[v]
            size = len(change)
            seen = visible(xyz_N3, normals_N3, self._depths[v], viewpoint, self._extent)
            xy_px, _ = viewpoint.project(xyz_N3[seen], size)
            facing = viewpoint.facing(xyz_N3[seen], normals_N3[seen])
            covered = sample(found.covered_VSS[v][..., None], xy_px)[:, 0]
            weight = (facing**2 * covered)[:, None]
            total[seen] += weight * sample(change, xy_px)
            weights[seen] += weight
        known = weights[:, 0] > LEAST_WEIGHT
        mean = total / np.maximum(weights, LEAST_WEIGHT)
        if known.any() and not known.all():
            _, nearest = cKDTree(xyz_N3[known]).query(xyz_N3[~known])
            mean[~known] = mean[known][nearest]
        return np.asarray(mean, dtype=np.float32)


def _textured(mesh: Mesh, changes: Changes, view: PhotoView, recipe: Recipe) -> TexturedMesh:
    """The surface unwrapped: fewer faces than the painted mesh needs, since a texture holds the detail."""
    vertices, faces = simplify(mesh.vertices_N3, mesh.faces_F3, target_faces=recipe.mesh.faces)
    atlas = unwrap(vertices, faces, vertex_normals(vertices, faces), size=recipe.refine.texture_px)
    own = _own_colors(mesh, atlas)
    photo = sample(clean_rim(view.subject, DEFAULT_PAINT.rim), view.project(atlas.xyz_T3)[0])
    weight = place_weights(atlas.xyz_T3, atlas.texel_normals_T3, mesh, view)[:, None]
    base = own * (1 - weight) + photo * weight
    rgb = changes.apply(atlas.xyz_T3, atlas.texel_normals_T3, np.asarray(base, dtype=np.float32))
    return TexturedMesh(
        vertices_N3=atlas.vertices_N3,
        faces_F3=atlas.faces_F3,
        normals_N3=atlas.normals_N3,
        uv_N2=atlas.uv_N2,
        texture_SSC=fill_gutters(atlas, rgb),
    )


def _own_colors(mesh: Mesh, atlas: Atlas) -> Float32:
    """(T, 3) colours of the painted mesh at the texels: its nearest vertices on the same side, the nearer the more."""
    # Normals count as places too, so that the two sides of a thin part do not paint each other.
    reach = 0.05 * scene_extent(mesh)
    tree = cKDTree(np.concatenate([mesh.vertices_N3, reach * mesh.normals_N3], axis=1))
    distance, nearest = tree.query(
        np.concatenate([atlas.xyz_T3, reach * atlas.texel_normals_T3], axis=1), k=_NEIGHBOURS
    )
    weight = 1 / (distance + 1e-6)
    weight /= weight.sum(1, keepdims=True)
    return np.asarray((mesh.colors_N3[nearest] * weight[..., None]).sum(1), dtype=np.float32)
