"""A guessed solid is brought into the ball by the zoom alone."""

from __future__ import annotations

import numpy as np

from lift3d_ray.cameras import Framing, half_width
from lift3d_ray.pose import contained
from lift3d_ray.pose.containment import LARGEST_RADIUS, _radius
from lift3d_ray.types import CoarseShape, ReferencePose


def _block(deep: int) -> CoarseShape:
    """A block of 16x16 cells, ``deep`` of 32 slices on either side of the middle."""
    filled = np.zeros((32, 32, 32), dtype=np.float32)
    filled[8:24, 8:24, 16 - deep : 16 + deep] = 1
    return CoarseShape(filled_SSD=filled, back_rgb_SSC=np.zeros((32, 32, 3), dtype=np.float32), depth_reach=1.3)


def test_what_fits_stays() -> None:
    pose = ReferencePose(elevation_deg=10.0, framing=Framing(focal_scale=1.5))
    assert contained(pose, _block(4)) == pose
    nothing = CoarseShape(
        filled_SSD=np.zeros((4, 4, 4), dtype=np.float32),
        back_rgb_SSC=np.zeros((4, 4, 3), dtype=np.float32),
        depth_reach=1.0,
    )
    assert contained(pose, nothing) == pose


def test_what_is_too_deep_becomes_smaller() -> None:
    pose = ReferencePose(elevation_deg=10.0, framing=Framing(focal_scale=1.0, shift_x=0.1))
    shape = _block(14)
    before, after = _radius(pose, shape), contained(pose, shape)
    assert before > 1
    # Half a block's depth alone reaches so far.
    assert before > 1.3 * half_width(pose.framing) * 13 / 16
    # Perspective weakens with the zoom, so a little less is needed than is done.
    assert 0.9 < _radius(after, shape) <= LARGEST_RADIUS
    assert after.framing.shift_x == pose.framing.shift_x
    assert after.elevation_deg == pose.elevation_deg
