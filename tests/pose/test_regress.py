"""A regressor that knows the canonical box gives back the framing the crop was made with."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.models.pose import CanonicalBox
from lift3d_ray.pose import regress_pose
from lift3d_ray.subject.masks import bounding_box
from lift3d_ray.toybox import render
from lift3d_ray.types import UInt8
from tests.scenes import toy_perception


class Knowing:
    """Answers with the box of the canonical picture itself."""

    def __init__(self, box: CanonicalBox) -> None:
        self.box = box

    def estimate(self, rgb_HWC: UInt8) -> CanonicalBox:
        """The truth."""
        return self.box


@pytest.mark.parametrize("class_name", ["mug", "chair", "rocket"])
def test_the_true_box_gives_the_true_framing(class_name: str) -> None:
    toy, perception, framing = toy_perception(class_name, azimuth_deg=35.0, elevation_deg=25.0)
    alpha = render(toy, orbit_c2w(35.0, 25.0), size=256).alpha[0]
    x0, y0, x1, y1 = (edge / 256 for edge in bounding_box(alpha > 0.5))
    box = CanonicalBox(
        elevation_deg=25.0, half=max(x1 - x0, y1 - y0), center_x=x0 + x1 - 1, center_y=1 - y0 - y1
    )
    pose = regress_pose(perception.subject, Knowing(box))  # type: ignore[arg-type]
    assert pose.elevation_deg == 25.0
    assert pose.framing.focal_scale == pytest.approx(framing.focal_scale, rel=0.03)
    np.testing.assert_allclose(
        [pose.framing.shift_x, pose.framing.shift_y], [framing.shift_x, framing.shift_y], atol=0.03
    )
