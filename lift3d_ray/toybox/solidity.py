"""What a picture of a toy does not show: how far the solid reaches behind every pixel, and how it looks from behind.

Toys are closed, outward-wound surfaces whose parts may reach into each other. A point on a ray is inside where the ray
has entered more often than it has left.

Shape suffixes: S picture side, D depths, P crossings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lift3d_ray.cameras import DEFAULT_FOVY_DEG, DEFAULT_RADIUS, Framing
from lift3d_ray.mesh.zbuffer import Hits, all_crossings
from lift3d_ray.toybox.mesh import unit
from lift3d_ray.toybox.render import project_vertices, surface_colours
from lift3d_ray.toybox.world import ToyObject
from lift3d_ray.types import Bool, Float32


@dataclass(frozen=True, kw_only=True)
class SolidView:
    """A toy along the rays of one picture.

    Attributes:
        filled_SSD: (S, S, D) bool, whether the toy fills the middle of each of D slices of depth, nearest first,
            behind each pixel's centre.
        back_rgb_SSC: (S, S, 3) float32 sRGB of the farthest surface behind each pixel, seen from behind; 0 where none.
    """

    filled_SSD: Bool
    back_rgb_SSC: Float32


def solid_view(
    obj: ToyObject, c2w_44: Float32, framing: Framing, *, size: int, slices: int, half_depth: float = 1.0
) -> SolidView:
    """Look through a toy from a camera on the canonical orbit.

    Args:
        obj: the toy.
        c2w_44: (4, 4) camera-to-world, ``DEFAULT_RADIUS`` from the origin.
        framing: zoom and shift.
        size: S.
        slices: D, slices of the depth range.
        half_depth: the range reaches so far before and behind the origin; the unit ball by default.
    """
    x, y, depth = project_vertices(obj.vertices, c2w_44[None], fovy_deg=DEFAULT_FOVY_DEG, size=size, framing=framing)
    found, enters_P = all_crossings(x[0], y[0], np.reciprocal(depth[0]), obj.faces, size)
    return SolidView(
        filled_SSD=_filled(found, enters_P, size, slices, half_depth),
        back_rgb_SSC=_back(obj, found.chosen(~enters_P), c2w_44, size),
    )


def _filled(found: Hits, enters_P: Bool, size: int, slices: int, half_depth: float) -> Bool:
    place = ((1 / found.nearness_P - DEFAULT_RADIUS) / half_depth + 1) * (slices / 2)
    first = np.clip(np.ceil(place - 0.5), 0, slices).astype(np.int64)
    turns = np.zeros((size * size, slices + 1), dtype=np.int32)
    np.add.at(turns, (found.pixel_P, first), np.where(enters_P, 1, -1))
    return np.asarray((np.cumsum(turns, axis=1)[:, :slices] > 0).reshape(size, size, slices), dtype=np.bool_)


def _back(obj: ToyObject, leaving: Hits, c2w_44: Float32, size: int) -> Float32:
    # By pixel, and there the farthest last.
    ordered = leaving.chosen(np.lexsort((-leaving.nearness_P, leaving.pixel_P)))
    last = ordered.chosen(np.flatnonzero(np.diff(ordered.pixel_P, append=-1)))
    picture = np.zeros((size * size, 3), dtype=np.float32)
    picture[last.pixel_P] = surface_colours(obj, last, -unit(c2w_44[:3, 3]))[0]
    return picture.reshape(size, size, 3)
