"""Point clouds seen by a camera, and stood where a photo shows their subject.

Shape suffixes: N points, P pairs of a pixel and a point, H W pixels, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lift3d_ray.cameras import CANONICAL, Framing, half_width, project
from lift3d_ray.errors import NoSubject
from lift3d_ray.field.disparity import disparity_picture
from lift3d_ray.types import Bool, ColoredPoints, Float32

POINT_RADIUS = 0.04
"""Of the discs that points are drawn as, world units: a thousand of them then cover a toy."""
_TURNS = 24
_TURNED_PX = 32


@dataclass(frozen=True, kw_only=True)
class Splats:
    """A cloud seen by a camera.

    Attributes:
        rgb_HWC: (S, S, 3) float32 sRGB in [0, 1] over white.
        depth_HW: (S, S) float32 z-depth of the nearest point, 0 where there is none.
    """

    rgb_HWC: Float32
    depth_HW: Float32


def splat(
    points: ColoredPoints,
    c2w_44: Float32,
    *,
    size: int,
    framing: Framing = CANONICAL,
    radius: float = POINT_RADIUS,
    farthest: bool = False,
) -> Splats:
    """Draw points as discs that face the camera, the nearest in front.

    Args:
        points: N points.
        c2w_44: (4, 4) camera-to-world.
        size: S.
        framing: zoom and shift of the picture.
        radius: of the discs, world units; every point covers at least its own pixel.
        farthest: draw the farthest in front instead.
    """
    xy_N2, depth_N = project(points.xyz_N3, c2w_44, size, framing=framing)
    reach_N = radius * size / (2 * half_width(framing)) * float(c2w_44[:3, 3] @ c2w_44[:3, 2]) / depth_N
    pixel_P, point_P = _covered(xy_N2, np.where(depth_N > 0, reach_N, -1.0), size)
    order = np.argsort(depth_N[point_P] * (1 if farthest else -1), kind="stable")
    # Of the points of a pixel the last one written stays.
    shown_S = np.full(size * size, -1, dtype=np.int64)
    shown_S[pixel_P[order]] = point_P[order]
    hit_S = shown_S >= 0
    rgb_SC = np.where(hit_S[:, None], points.rgb_N3[shown_S], 1.0)
    return Splats(
        rgb_HWC=np.asarray(rgb_SC.reshape(size, size, 3), dtype=np.float32),
        depth_HW=np.asarray(np.where(hit_S, depth_N[shown_S], 0).reshape(size, size), dtype=np.float32),
    )


def _covered(xy_N2: Float32, reach_N: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a pixel and a point whose disc holds its middle, or that lies in it; negative reach = no disc."""
    column_N, row_N = np.floor(xy_N2).astype(np.int64).T
    furthest = int(np.ceil(reach_N.max(initial=0.0)))
    pixels, points = [], []
    for down in range(-furthest, furthest + 1):
        for right in range(-furthest, furthest + 1):
            row_M, column_M = row_N + down, column_N + right
            away_M = np.hypot(column_M + 0.5 - xy_N2[:, 0], row_M + 0.5 - xy_N2[:, 1])
            covers_M = (away_M <= reach_N) | ((down == 0 == right) & (reach_N >= 0))
            covers_M &= (row_M >= 0) & (row_M < size) & (column_M >= 0) & (column_M < size)
            pixels.append((row_M * size + column_M)[covers_M])
            points.append(np.flatnonzero(covers_M))
    return np.concatenate(pixels), np.concatenate(points)


def sparse_depth(
    points: ColoredPoints, c2w_44: Float32, *, size: int, framing: Framing = CANONICAL, radius: float = 0.0
) -> Float32:
    """(S, S) float32 disparity of a cloud, 1 = its nearest point, 0 = nothing there: Anything-3D's sparse depth map.

    Points stay points by default, so the map has holes, which a depth-conditioned prior may fill as it likes; what
    lies behind shines through them. Discs of ``POINT_RADIUS`` close it.

    Args:
        points: N points.
        c2w_44: (4, 4) camera-to-world.
        size: S.
        framing: zoom and shift of the picture.
        radius: of the discs that the points are drawn as, world units.
    """
    depth_HW = splat(points, c2w_44, size=size, framing=framing, radius=radius).depth_HW
    return disparity_picture(depth_HW, depth_HW > 0)


def stood_in_photo(
    points: ColoredPoints, alpha_HW: Float32, c2w_44: Float32, framing: Framing = CANONICAL
) -> ColoredPoints:
    """The cloud turned, scaled and moved so that its picture fills the box of the photo's subject.

    It is turned only where it does not face the photo yet: towards the azimuth, of 24, whose silhouette agrees best.

    Args:
        points: N points.
        alpha_HW: (S, S) in [0, 1], the subject's mask.
        c2w_44: (4, 4) camera-to-world of the photo.
        framing: its zoom and shift.

    Raises:
        NoSubject: the mask is empty.
    """
    mask_HW = alpha_HW > 0.5
    if not mask_HW.any():
        raise NoSubject("the subject's mask is empty: no pixel has an alpha above 0.5")
    if points.faces_photo:
        return _boxed(points, mask_HW, c2w_44, framing)
    turned = [_boxed(_turned(points, angle), mask_HW, c2w_44, framing) for angle in range(0, 360, 360 // _TURNS)]
    agreements = [_agreement(one, mask_HW, c2w_44, framing) for one in turned]
    return replace(turned[int(np.argmax(agreements))], faces_photo=True)


def _boxed(points: ColoredPoints, mask_HW: Bool, c2w_44: Float32, framing: Framing) -> ColoredPoints:
    """The cloud scaled about the origin and moved along the picture until its box is the mask's."""
    size = len(mask_HW)
    rows, columns = np.nonzero(mask_HW)
    wanted_2 = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
    wanted_side = max(float(np.ptp(columns)), float(np.ptp(rows))) + 1
    xyz_N3 = points.xyz_N3
    # Twice, since what is scaled towards the camera is seen under another perspective.
    for _ in range(2):
        xy_N2, _ = project(xyz_N3, c2w_44, size, framing=framing)
        low_2, high_2 = xy_N2.min(axis=0), xy_N2.max(axis=0)
        xyz_N3 = xyz_N3 * (wanted_side / max(1.0, float((high_2 - low_2).max())))
        xy_N2, _ = project(xyz_N3, c2w_44, size, framing=framing)
        off_2 = (wanted_2 - (xy_N2.min(axis=0) + xy_N2.max(axis=0)) / 2) * (2 * half_width(framing) / size)
        xyz_N3 = xyz_N3 + off_2[0] * c2w_44[:3, 0] - off_2[1] * c2w_44[:3, 1]
    return replace(points, xyz_N3=np.asarray(xyz_N3, dtype=np.float32))


def _turned(points: ColoredPoints, angle_deg: float) -> ColoredPoints:
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    turn_33 = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=np.float32)
    return replace(points, xyz_N3=points.xyz_N3 @ turn_33.T)


def _agreement(points: ColoredPoints, mask_HW: Bool, c2w_44: Float32, framing: Framing) -> float:
    """Intersection over union of the cloud's silhouette and the mask, in a small picture."""
    seen = splat(points, c2w_44, size=_TURNED_PX, framing=framing, radius=2 * POINT_RADIUS).depth_HW > 0
    middles = ((np.arange(_TURNED_PX) + 0.5) * (len(mask_HW) / _TURNED_PX)).astype(np.int64)
    mask = mask_HW[np.ix_(middles, middles)]
    return float((seen & mask).sum() / max(1, (seen | mask).sum()))
