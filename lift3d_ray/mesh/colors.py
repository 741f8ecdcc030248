"""Colours for a mesh: the field's everywhere, and the photo's own pixels where the photo sees the surface.

A radiance field blurs what it fits; the photo is sharp, so wherever a vertex is seen by the photo's camera, face on and
inside the cut-out, it takes the photo's colour. Vertices carry the colours, so the mesh is refined first wherever the
photo shows more detail than its edges can hold.

Shape suffixes: N vertices, E edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lift3d_ray.mesh.alike import color_by_likeness
from lift3d_ray.mesh.geometry import Int32, vertex_normals
from lift3d_ray.mesh.photo_view import DEFAULT_PAINT, PhotoPaint, PhotoView, clean_rim, photo_weights, sample
from lift3d_ray.mesh.refine import split_edges, unique_edges
from lift3d_ray.types import Float32, Int64, Mesh

ColorAt = Callable[[Float32], Float32]
"""Colours (N, 3) sRGB in [0, 1] at world positions (N, 3)."""

_SEEN = 0.05
_ROUNDS = 5


def color_mesh(
    vertices_N3: Float32,
    faces_F3: Int32,
    color_at: ColorAt,
    view: PhotoView,
    *,
    twin: PhotoView | None = None,
    likeness: float = 0.0,
    paint: PhotoPaint = DEFAULT_PAINT,
) -> Mesh:
    """A mesh with normals, refined and coloured: field colours all round, the photo's pixels where it sees them.

    Args:
        vertices_N3: (N, 3) float32 world positions.
        faces_F3: (F, 3) int32, wound outwards.
        color_at: the field's colour at world positions.
        view: the photo with its camera.
        twin: a second one, less to be trusted: it shows only where the first does not.
        likeness: how far colours of seen places may differ to stand for hidden ones like them (``alike``); 0 = never.
        paint: how the photos are laid on.
    """
    mesh = paint_field(vertices_N3, faces_F3, np.zeros_like)
    views = [view] if twin is None else [view, twin]
    for shown in views:
        mesh = refine_seen(mesh, shown, paint)
    mesh = replace(mesh, colors_N3=_field_colors(color_at, mesh.vertices_N3))
    weights = [photo_weights(mesh, shown, paint) for shown in views]
    for shown, weight_N in reversed(list(zip(views, weights, strict=True))):
        mesh = _laid_on(mesh, shown, weight_N, paint)
    return color_by_likeness(mesh, np.max(weights, axis=0), likeness) if likeness else mesh


def paint_field(vertices_N3: Float32, faces_F3: Int32, color_at: ColorAt) -> Mesh:
    """A mesh with area-weighted vertex normals and the field's colours."""
    return Mesh(
        vertices_N3=vertices_N3,
        faces_F3=faces_F3,
        normals_N3=vertex_normals(vertices_N3, faces_F3),
        colors_N3=_field_colors(color_at, vertices_N3),
    )


def project_photo(mesh: Mesh, view: PhotoView, paint: PhotoPaint = DEFAULT_PAINT) -> Mesh:
    """The mesh with the photo's colours blended over its own by ``photo_weights``."""
    return _laid_on(mesh, view, photo_weights(mesh, view, paint), paint)


def _laid_on(mesh: Mesh, view: PhotoView, weight_N: Float32, paint: PhotoPaint) -> Mesh:
    weight = weight_N[:, None]
    seen = sample(clean_rim(view.subject, paint.rim), view.project(mesh.vertices_N3)[0])
    return replace(mesh, colors_N3=(mesh.colors_N3 * (1 - weight) + seen * weight).astype(np.float32))


def refine_seen(mesh: Mesh, view: PhotoView, paint: PhotoPaint = DEFAULT_PAINT) -> Mesh:
    """The mesh with edges halved where the photo shows more than they can hold, worst first, within the budget.

    Edges shorter than one of the photo's pixels are left alone; a mesh that is over the budget already comes back as
    it is.
    """
    for _ in range(_ROUNDS):
        spare = paint.vertex_budget - len(mesh.vertices_N3)
        if spare <= 0:
            break
        edges, edge_of = unique_edges(mesh.faces_F3)
        error = _edge_errors(mesh, edges, view, paint)
        marked = error > paint.detail
        if not marked.any():
            break
        if marked.sum() > spare:
            marked = np.zeros_like(marked)
            marked[np.argsort(-error, kind="stable")[:spare]] = True
        mesh = split_edges(mesh, edges, edge_of, marked)
    return mesh


def _edge_errors(mesh: Mesh, edges_E2: Int64, view: PhotoView, paint: PhotoPaint) -> Float32:
    """(E,) how far the photo leaves the blend of each edge's ends; 0 where the photo does not see the edge."""
    weight = photo_weights(mesh, view, paint)
    xy_px, _ = view.project(mesh.vertices_N3)
    start, end = xy_px[edges_E2[:, 0]], xy_px[edges_E2[:, 1]]
    seen = (weight[edges_E2].max(axis=1) > _SEEN) & (np.linalg.norm(end - start, axis=-1) > 1.0)
    start, end = start[seen], end[seen]
    rgb = clean_rim(view.subject, paint.rim)
    first, last = sample(rgb, start), sample(rgb, end)
    worst = np.zeros(len(start), dtype=np.float32)
    for share in (0.25, 0.5, 0.75):
        there = sample(rgb, start + (end - start) * np.float32(share))
        worst = np.maximum(worst, np.abs(there - (first + (last - first) * np.float32(share))).max(axis=-1))
    error = np.zeros(len(edges_E2), dtype=np.float32)
    error[seen] = worst
    return error


def _field_colors(color_at: ColorAt, xyz_N3: Float32) -> Float32:
    colors = np.asarray(color_at(xyz_N3), dtype=np.float32)
    if colors.shape != xyz_N3.shape:
        raise ValueError(f"color_at must answer {xyz_N3.shape} for {len(xyz_N3)} points, got {colors.shape}")
    return np.clip(np.nan_to_num(colors, nan=0.5), 0.0, 1.0)
