"""Pose by redrawing, against a prior that draws the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lift3d_ray.pose import assumed_pose, estimate_pose
from lift3d_ray.recipes import PoseConfig
from lift3d_ray.types import ViewReference
from tests.scenes import SCHEDULE, SIZE, PixelCodec, ToyPrior, toy_perception

REFERENCE = ViewReference(latents_CHW=np.zeros((3, SIZE, SIZE), dtype=np.float32))


@pytest.mark.parametrize("elevation", [5.0, 30.0])
def test_elevation_and_framing_are_found(elevation: float) -> None:
    toy, perception, framing = toy_perception("car", elevation_deg=elevation)
    pose = estimate_pose(
        perception.subject,
        REFERENCE,
        ToyPrior(toy, 20.0),
        PixelCodec(),  # type: ignore[arg-type]
        SCHEDULE,
        PoseConfig(elevations_deg=(0.0, 10.0, 20.0, 30.0, 40.0), draws=2, steps=3, noises=2),
        generator=torch.Generator().manual_seed(0),
    )
    assert pose.elevation_deg == pytest.approx(elevation, abs=6)
    assert pose.framing.focal_scale == pytest.approx(framing.focal_scale, rel=0.06)
    assert pose.framing.shift_x == pytest.approx(framing.shift_x, abs=0.06)
    assert pose.framing.shift_y == pytest.approx(framing.shift_y, abs=0.06)
    assert 0 < pose.confidence <= 1


def test_without_a_view_prior_the_pose_is_an_assumption() -> None:
    pose = assumed_pose(0.8)
    assert pose.confidence == 0
    assert pose.framing.focal_scale == pytest.approx(0.8 / 0.85)
