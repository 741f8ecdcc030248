"""The other half from the half that the photo shows: most things are their own mirror image.

A single photo hides half of its subject, and a prior of few pixels paints that half without detail. Where the mesh has
a vertical plane of symmetry, the photo's mirror image is a second photo, taken from the mirrored place: what it sees
takes its pixels, as what the photo sees takes the photo's. Symmetry has served single views since Thrun and Wegbreit
2005 ("Shape from symmetry"); neither Make-It-3D nor Anything-3D uses it.

Shape suffix: N points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from lift3d_ray.mesh.geometry import Int32
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.sample import surface_points
from lift3d_ray.types import Float32

_POINTS, _ASKED = 3000, 600
_FARTHEST = 0.25
"""A part without a counterpart counts as this far from it, as a share of the unit ball's radius, wherever it is."""
_COARSE_DEG, _COARSE_SHIFTS = 5.0, (-0.08, -0.04, 0.0, 0.04, 0.08)
_FINE_DEG, _FINE_SHIFTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0), (-0.02, -0.01, 0.0, 0.01, 0.02)
_FRONT_TO_BACK = 0.01
"""What a plane that turns the front into the back is charged: things that look alike from all round have many planes,
and a second face behind is worse than a plain back."""


@dataclass(frozen=True, kw_only=True)
class SymmetryPlane:
    """A vertical plane {x : x . n = offset}, n = (sin a, 0, cos a).

    Attributes:
        azimuth_deg: a, of the normal; 90 = left and right of the photo are exchanged.
        offset: along the normal, world units.
        error: mean distance of mirrored surface points to the surface, world units, each at most 0.25.
    """

    azimuth_deg: float
    offset: float
    error: float

    @property
    def normal_3(self) -> Float32:
        """(3,) unit normal."""
        angle = math.radians(self.azimuth_deg)
        return np.array([math.sin(angle), 0.0, math.cos(angle)], dtype=np.float32)

    @property
    def matrix_44(self) -> Float32:
        """(4, 4) the reflection, of determinant -1."""
        normal = self.normal_3
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, :3] -= 2 * np.outer(normal, normal)
        matrix[:3, 3] = 2 * self.offset * normal
        return matrix


def find_symmetry(vertices_N3: Float32, faces_F3: Int32) -> SymmetryPlane:
    """The vertical plane about which a surface is most symmetric; how much so, its ``error`` says.

    Args:
        vertices_N3: (N, 3) float32 inside the unit ball, the photo's camera at azimuth 0.
        faces_F3: (F, 3) int32.
    """
    points_N3 = surface_points(vertices_N3, faces_F3, _POINTS, np.random.default_rng(0))
    surface, asked_N3 = cKDTree(points_N3), points_N3[:: _POINTS // _ASKED]

    def judged(azimuth_deg: float, offset: float) -> SymmetryPlane:
        plane = SymmetryPlane(azimuth_deg=float(azimuth_deg) % 180, offset=float(offset), error=math.inf)
        distance_N, _ = surface.query(mirrored_points(asked_N3, plane), distance_upper_bound=_FARTHEST)
        return replace(plane, error=float(np.minimum(distance_N, _FARTHEST).mean()))

    def cost(plane: SymmetryPlane) -> float:
        return plane.error + _FRONT_TO_BACK * abs(float(plane.normal_3[2]))

    coarse = [
        judged(azimuth, _middle(points_N3, azimuth) + shift)
        for azimuth, shift in product(np.arange(0, 180, _COARSE_DEG), _COARSE_SHIFTS)
    ]
    best = min(coarse, key=cost)
    fine = [
        judged(best.azimuth_deg + turn, best.offset + shift) for turn, shift in product(_FINE_DEG, _FINE_SHIFTS)
    ]
    return min(fine, key=cost)


def mirrored_points(xyz_N3: Float32, plane: SymmetryPlane) -> Float32:
    """(N, 3) the points' mirror images."""
    along_N = xyz_N3 @ plane.normal_3 - np.float32(plane.offset)
    return np.asarray(xyz_N3 - 2 * along_N[:, None] * plane.normal_3, dtype=np.float32)


def mirrored_view(view: PhotoView, plane: SymmetryPlane) -> PhotoView:
    """The photo's mirror image, with the camera that would have taken it.

    Reflecting the camera exchanges left and right of its picture, which reflecting the picture undoes: what comes out
    is an ordinary photo again.
    """
    flip_44 = np.diag(np.array([-1, 1, 1, 1], dtype=np.float32))
    subject = replace(
        view.subject,
        rgb_HWC=np.ascontiguousarray(view.subject.rgb_HWC[:, ::-1]),
        alpha_HW=np.ascontiguousarray(view.subject.alpha_HW[:, ::-1]),
    )
    return replace(
        view,
        subject=subject,
        c2w_44=np.asarray(plane.matrix_44 @ view.c2w_44 @ flip_44, dtype=np.float32),
        framing=replace(view.framing, shift_x=-view.framing.shift_x),
    )


def _middle(points_N3: Float32, azimuth_deg: float) -> float:
    """Half-way between the extremes along a direction, stray points aside."""
    angle = math.radians(azimuth_deg)
    low, high = np.quantile(points_N3 @ np.array([math.sin(angle), 0.0, math.cos(angle)]), (0.02, 0.98))
    return float(low + high) / 2
