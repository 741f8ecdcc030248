"""What a photo sees of a mesh: which vertices, and what colours it shows there.

Shape suffixes: N vertices or points, S side of the subject's picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, minimum_filter

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, focal_px, project
from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import Int32, unit
from lift3d_ray.mesh.rasterize import cast, drawn_faces
from lift3d_ray.types import Float32, Mesh, Subject


@dataclass(frozen=True, kw_only=True)
class PhotoPaint:
    """How a photo is laid on a mesh.

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


DEFAULT_PAINT = PhotoPaint()


@dataclass(frozen=True, kw_only=True)
class PhotoView:
    """A subject's picture with the camera that took it.

    Attributes:
        subject: the cut-out.
        c2w_44: (4, 4) float32 camera-to-world.
        framing: zoom and shift of the subject's picture.
        fovy_deg: field of view of the unframed camera, degrees.
    """

    subject: Subject
    c2w_44: Float32
    framing: Framing = CANONICAL
    fovy_deg: float = DEFAULT_FOVY_DEG

    @property
    def size_px(self) -> int:
        """Side of the picture."""
        return int(self.subject.alpha_HW.shape[0])

    @property
    def focal_px(self) -> float:
        """Focal length in the picture's pixels."""
        return focal_px(self.size_px, fovy_deg=self.fovy_deg, framing=self.framing)

    def project(self, xyz_N3: Float32) -> tuple[Float32, Float32]:
        """Pixel positions (N, 2) and depths (N,) of world points."""
        return project(xyz_N3, self.c2w_44, self.size_px, fovy_deg=self.fovy_deg, framing=self.framing)


def photo_weights(mesh: Mesh, view: PhotoView, paint: PhotoPaint = DEFAULT_PAINT) -> Float32:
    """How far to trust the photo at each vertex, (N,) float32 in [0, 1].

    The product of three: not hidden behind another part; facing the camera; inside the cut-out, or just outside.
    """
    return place_weights(mesh.vertices_N3, mesh.normals_N3, mesh, view, paint)


def place_weights(
    xyz_N3: Float32, normals_N3: Float32, mesh: Mesh, view: PhotoView, paint: PhotoPaint = DEFAULT_PAINT
) -> Float32:
    """The same at any places on the mesh's surface, with the unit normals there."""
    size = view.size_px
    if not (view.subject.alpha_HW > 0.5).any():
        # No cut-out is near to anything.
        return np.zeros(len(xyz_N3), dtype=np.float32)
    xy_px, depth = view.project(xyz_N3)
    toward = view.c2w_44[:3, 3] - xyz_N3
    facing = np.asarray(np.einsum("ni,ni->n", normals_N3, unit(toward)), dtype=np.float32)
    front = depth_picture(mesh.vertices_N3, mesh.faces_F3, view)
    reach = _nearest_around(front, xy_px) + _tolerance(mesh, depth / view.focal_px, facing)
    outside_px = distance_transform_edt(np.pad(view.subject.alpha_HW <= 0.5, 1, constant_values=True))[1:-1, 1:-1]
    beyond = sample(outside_px.astype(np.float32)[..., None], xy_px)[:, 0] / size
    facing_share, outside_share = smoothstep(facing, *paint.grazing_cos), smoothstep(beyond, 0.0, paint.rim)
    return np.asarray(np.where(depth <= reach, facing_share * (1 - outside_share), 0), dtype=np.float32)


def clean_rim(subject: Subject, rim: float) -> Float32:
    """(S, S, 3) float32 sRGB of the photo, each pixel at the rim or outside replaced by the nearest one inside.

    Parts too thin to have an inside keep their own pixels.

    Args:
        subject: the cut-out.
        rim: width of the rim, as a share of the picture's side.
    """
    size = subject.alpha_HW.shape[0]
    rgb = subject.rgb_HWC.astype(np.float32) / np.float32(255)
    covered = subject.alpha_HW > 0.5
    if not covered.any():
        return rgb
    pure = distance_transform_edt(np.pad(covered, 1))[1:-1, 1:-1] > rim * size
    away_px = distance_transform_edt(~pure) if pure.any() else np.full(pure.shape, np.inf)
    thin = covered & (away_px > 2 * rim * size + 1)
    row, column = distance_transform_edt(~(pure | thin), return_distances=False, return_indices=True)
    return np.asarray(rgb[row, column])


def sample(picture_HWC: Float32, xy_px_N2: Float32) -> Float32:
    """(N, C) bilinear samples of a picture at pixel positions, its edge values outside."""
    height, width = picture_HWC.shape[:2]
    limit = np.array([width - 1, height - 1], dtype=np.float32)
    place = np.clip(xy_px_N2 - np.float32(0.5), 0, limit)
    column, row = np.floor(place).astype(np.int64).T
    across, down = (place - np.floor(place)).astype(np.float32).T[:, :, None]
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    top = picture_HWC[row, column] * (1 - across) + picture_HWC[row, right] * across
    bottom = picture_HWC[below, column] * (1 - across) + picture_HWC[below, right] * across
    return np.asarray(top * (1 - down) + bottom * down, dtype=np.float32)


def depth_picture(vertices_N3: Float32, faces_F3: Int32, view: PhotoView) -> Float32:
    """(S, S) float32 z-depth, as the photo would show it, of the nearest surface; infinite where there is none."""
    hits = cast(
        vertices_N3,
        drawn_faces(faces_F3),
        view.c2w_44[None],
        size=view.size_px,
        fovy_deg=view.fovy_deg,
        framing=view.framing,
    )
    depth = np.full(view.size_px**2, np.inf, dtype=np.float32)
    depth[hits.pixel_P] = np.reciprocal(hits.nearness_P)
    return depth.reshape(view.size_px, view.size_px)


def _nearest_around(depth_SS: Float32, xy_px_N2: Float32) -> Float32:
    """(N,) the least depth in the 3 x 3 pixels around each position: an occluder's edge hides what is beside it."""
    nearest = minimum_filter(depth_SS, size=3, mode="nearest")
    column, row = np.clip(np.floor(xy_px_N2), 0, depth_SS.shape[0] - 1).astype(np.int64).T
    return np.asarray(nearest[row, column], dtype=np.float32)


def _tolerance(mesh: Mesh, footprint_N: Float32, facing_N: Float32) -> Float32:
    """How far behind the depth picture a vertex may lie and still count as seen.

    Depth changes within a pixel by its footprint times the surface's slope; a little of the mesh's size is added.
    """
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices_N3, axis=0)))
    cosine = np.clip(facing_N, 0.1, 1.0)
    slope = np.sqrt(1 - cosine**2) / cosine
    return np.asarray(0.002 * diagonal + 2.5 * footprint_N * (slope + 0.5), dtype=np.float32)


def smoothstep(value: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """0 below ``low``, 1 above ``high``, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
