"""Colours for a mesh: the field's everywhere, and the photo's own pixels where the photo sees the surface.

A radiance field blurs what it fits; the photo is sharp, so wherever a vertex is seen by the photo's camera, face on and
away from the cut-out's rim, it takes the photo's colour. Vertices carry the colours, so the mesh is refined first
wherever the photo shows more detail than its edges can hold.

Shape suffixes: N vertices, E edges, S side of the subject's picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt, minimum_filter

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, focal_px, project
from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import Int32, vertex_normals
from lift3d_ray.mesh.rasterize import cast, drawn_faces
from lift3d_ray.mesh.refine import split_edges, unique_edges
from lift3d_ray.types import Float32, Mesh, Subject

ColorAt = Callable[[Float32], Float32]
"""Colours (N, 3) sRGB in [0, 1] at world positions (N, 3)."""


@dataclass(frozen=True, kw_only=True)
class PhotoPaint:
    """How the photo is laid on the mesh.

    Attributes:
        vertex_budget: most vertices the mesh may have after refinement.
        detail: an edge is halved where the photo leaves the straight blend of its ends' colours by more than this,
            in [0, 1].
        grazing_cos: cosines of the angle between surface and line of sight at which the photo begins to show, and
            from which on it shows alone.
        rim: width of the cut-out's rim, as a share of the picture's side. Pixels there are mixed with the background
            and are replaced by the nearest ones further inside; as far outside the cut-out the photo fades away.
    """

    vertex_budget: int = 60_000
    detail: float = 0.03
    grazing_cos: tuple[float, float] = (0.1, 0.35)
    rim: float = 0.008

    def __post_init__(self) -> None:
        if self.vertex_budget < 0:
            raise ConfigError(f"vertex_budget must be 0 or more, got {self.vertex_budget}")
        if not 0 < self.detail <= 1:
            raise ConfigError(f"detail must lie in (0, 1], got {self.detail}")
        low, high = self.grazing_cos
        if not 0 <= low < high <= 1:
            raise ConfigError(f"grazing_cos must be two rising numbers in [0, 1], got {self.grazing_cos}")
        if not 0 < self.rim < 0.5:
            raise ConfigError(f"rim must lie in (0, 0.5), got {self.rim}")


def color_mesh(
    vertices_N3: Float32,
    faces_F3: Int32,
    color_at: ColorAt,
    subject: Subject,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    paint: PhotoPaint | None = None,
) -> Mesh:
    """A mesh with normals, refined and coloured: field colours all round, the photo's pixels where it sees them.

    Args:
        vertices_N3: (N, 3) float32 world positions.
        faces_F3: (F, 3) int32, wound outwards.
        color_at: the field's colour at world positions.
        subject: the photo's cut-out.
        c2w_44: (4, 4) float32 camera-to-world of the photo.
        framing: zoom and shift of the subject's picture.
        fovy_deg: field of view of the unframed camera, degrees.
        paint: how the photo is laid on; None for the defaults.
    """
    options = paint or PhotoPaint()
    mesh = paint_field(vertices_N3, faces_F3, color_at)
    mesh = refine_seen(mesh, subject, c2w_44, framing, fovy_deg=fovy_deg, paint=options)
    mesh = replace(mesh, colors_N3=_field_colors(color_at, mesh.vertices_N3))
    return project_photo(mesh, subject, c2w_44, framing, fovy_deg=fovy_deg, paint=options)


def paint_field(vertices_N3: Float32, faces_F3: Int32, color_at: ColorAt) -> Mesh:
    """A mesh with area-weighted vertex normals and the field's colours."""
    return Mesh(
        vertices_N3=vertices_N3,
        faces_F3=faces_F3,
        normals_N3=vertex_normals(vertices_N3, faces_F3),
        colors_N3=_field_colors(color_at, vertices_N3),
    )


def project_photo(
    mesh: Mesh,
    subject: Subject,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    paint: PhotoPaint | None = None,
) -> Mesh:
    """The mesh with the photo's colours blended over its own by ``photo_weights``; arguments as in ``color_mesh``."""
    options = paint or PhotoPaint()
    weight = photo_weights(mesh, subject, c2w_44, framing, fovy_deg=fovy_deg, paint=options)[:, None]
    xy_px, _ = project(mesh.vertices_N3, c2w_44, subject.alpha_HW.shape[0], fovy_deg=fovy_deg, framing=framing)
    seen = _sample(_clean_rim(subject, options.rim), xy_px)
    return replace(mesh, colors_N3=(mesh.colors_N3 * (1 - weight) + seen * weight).astype(np.float32))


def photo_weights(
    mesh: Mesh,
    subject: Subject,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    paint: PhotoPaint | None = None,
) -> Float32:
    """How far to trust the photo at each vertex.

    The product of three: not hidden behind another part; facing the camera; inside the cut-out, or just outside.
    Arguments as in ``color_mesh``.

    Returns:
        (N,) float32 in [0, 1].
    """
    options = paint or PhotoPaint()
    size = subject.alpha_HW.shape[0]
    xy_px, depth = project(mesh.vertices_N3, c2w_44, size, fovy_deg=fovy_deg, framing=framing)
    toward = c2w_44[:3, 3] - mesh.vertices_N3
    facing = np.einsum("ni,ni->n", mesh.normals_N3, toward) / np.maximum(np.linalg.norm(toward, axis=-1), 1e-9)
    hits = cast(
        mesh.vertices_N3, drawn_faces(mesh.faces_F3), c2w_44[None], size=size, fovy_deg=fovy_deg, framing=framing
    )
    front = np.full(size * size, np.inf, dtype=np.float32)
    front[hits.pixel_P] = 1.0 / hits.nearness_P
    footprint = depth / focal_px(size, fovy_deg=fovy_deg, framing=framing)
    visible = depth <= _nearest_around(front.reshape(size, size), xy_px) + _tolerance(mesh, footprint, facing)
    outside_px = distance_transform_edt(np.pad(subject.alpha_HW <= 0.5, 1, constant_values=True))[1:-1, 1:-1]
    beyond = _sample(outside_px.astype(np.float32)[..., None], xy_px)[:, 0] / size
    weight = visible * _smoothstep(facing, *options.grazing_cos) * (1 - _smoothstep(beyond, 0.0, options.rim))
    return np.asarray(weight, dtype=np.float32)


def refine_seen(
    mesh: Mesh,
    subject: Subject,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    paint: PhotoPaint | None = None,
    rounds: int = 5,
) -> Mesh:
    """The mesh with edges halved where the photo shows more than they can hold, worst first, within the budget.

    Edges shorter than one of the photo's pixels are left alone. Arguments as in ``color_mesh``.
    """
    options = paint or PhotoPaint()
    for _ in range(rounds):
        spare = options.vertex_budget - len(mesh.vertices_N3)
        if spare <= 0:
            break
        edges, edge_of = unique_edges(mesh.faces_F3)
        error = _edge_errors(mesh, edges, subject, c2w_44, framing, fovy_deg, options)
        marked = error > options.detail
        if not marked.any():
            break
        if marked.sum() > spare:
            marked = np.zeros_like(marked)
            marked[np.argsort(-error, kind="stable")[:spare]] = True
        mesh = split_edges(mesh, edges, edge_of, marked)
    return mesh


def _edge_errors(
    mesh: Mesh,
    edges_E2: np.ndarray,
    subject: Subject,
    c2w_44: Float32,
    framing: Framing,
    fovy_deg: float,
    options: PhotoPaint,
) -> Float32:
    """(E,) how far the photo leaves the blend of each edge's ends; 0 where the photo does not see the edge."""
    weight = photo_weights(mesh, subject, c2w_44, framing, fovy_deg=fovy_deg, paint=options)
    size = subject.alpha_HW.shape[0]
    xy_px, _ = project(mesh.vertices_N3, c2w_44, size, fovy_deg=fovy_deg, framing=framing)
    rgb = _clean_rim(subject, options.rim)
    start, end = xy_px[edges_E2[:, 0]], xy_px[edges_E2[:, 1]]
    seen = (weight[edges_E2].max(axis=1) > 0.05) & (np.linalg.norm(end - start, axis=-1) > 1.0)
    start, end = start[seen], end[seen]
    first, last = _sample(rgb, start), _sample(rgb, end)
    worst = np.zeros(len(start), dtype=np.float32)
    for share in (0.25, 0.5, 0.75):
        there = _sample(rgb, start + (end - start) * np.float32(share))
        worst = np.maximum(worst, np.abs(there - (first + (last - first) * np.float32(share))).max(axis=-1))
    error = np.zeros(len(edges_E2), dtype=np.float32)
    error[seen] = worst
    return error


def _field_colors(color_at: ColorAt, xyz_N3: Float32) -> Float32:
    colors = np.asarray(color_at(xyz_N3), dtype=np.float32)
    if colors.shape != xyz_N3.shape:
        raise ValueError(f"color_at must answer {xyz_N3.shape} for {len(xyz_N3)} points, got {colors.shape}")
    return np.clip(np.nan_to_num(colors, nan=0.5), 0.0, 1.0)


def _clean_rim(subject: Subject, rim: float) -> Float32:
    """(S, S, 3) float32 sRGB of the photo, each pixel at the rim or outside replaced by the nearest one inside.

    Parts too thin to have an inside keep their own pixels.
    """
    size = subject.alpha_HW.shape[0]
    covered = subject.alpha_HW > 0.5
    pure = distance_transform_edt(np.pad(covered, 1))[1:-1, 1:-1] > rim * size
    away_px = distance_transform_edt(~pure) if pure.any() else np.full(pure.shape, np.inf)
    thin = covered & (away_px > 2 * rim * size + 1)
    if not covered.any():
        return np.asarray(subject.rgb_HWC.astype(np.float32) / 255.0)
    row, column = distance_transform_edt(~(pure | thin), return_distances=False, return_indices=True)
    return np.asarray(subject.rgb_HWC[row, column].astype(np.float32) / 255.0)


def _tolerance(mesh: Mesh, footprint_N: Float32, facing_N: Float32) -> Float32:
    """How far behind the depth picture a vertex may lie and still count as seen.

    Depth changes within a pixel by its footprint times the surface's slope; a little of the mesh's size is added.
    """
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices_N3, axis=0)))
    cosine = np.clip(facing_N, 0.1, 1.0)
    slope = np.sqrt(1 - cosine**2) / cosine
    return np.asarray(0.002 * diagonal + 2.5 * footprint_N * (slope + 0.5), dtype=np.float32)


def _nearest_around(front_SS: Float32, xy_px_N2: Float32) -> Float32:
    """(N,) the least depth in the 3 x 3 pixels around each position: an occluder's edge hides what is beside it."""
    size = front_SS.shape[0]
    nearest = minimum_filter(front_SS, size=3, mode="nearest")
    column, row = np.clip(np.floor(xy_px_N2), 0, size - 1).astype(np.int64).T
    return np.asarray(nearest[row, column], dtype=np.float32)


def _sample(picture_HWC: Float32, xy_px_N2: Float32) -> Float32:
    """(N, C) bilinear samples of a picture at pixel positions, its edge values outside."""
    height, width = picture_HWC.shape[:2]
    limit = np.array([width - 1, height - 1], dtype=np.float32)
    place = np.clip(xy_px_N2 - np.float32(0.5), 0, limit)
    column, row = np.minimum(np.floor(place), np.maximum(limit - 1, 0)).astype(np.int64).T
    across, down = (place - np.stack([column, row], axis=-1)).astype(np.float32).T[:, :, None]
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    top = picture_HWC[row, column] * (1 - across) + picture_HWC[row, right] * across
    bottom = picture_HWC[below, column] * (1 - across) + picture_HWC[below, right] * across
    return np.asarray(top * (1 - down) + bottom * down, dtype=np.float32)


def _smoothstep(value: Float32, low: float, high: float) -> Float32:
    """0 below ``low``, 1 above ``high``, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
