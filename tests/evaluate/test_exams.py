"""Judging is fair: an asset is put where its photo says it is, and perfect answers get perfect scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lift3d_ray.cameras import Framing
from lift3d_ray.evaluate import Exam, make_exam, mean_score, score_copy, score_views
from lift3d_ray.evaluate.exams import place
from lift3d_ray.evaluate.scores import score_nothing
from lift3d_ray.types import CropMap, Float32, ReferencePose


@pytest.fixture(scope="module")
def exam() -> Exam:
    return make_exam(0)


def _projected(xyz_N3: Float32, c2w_44: Float32) -> Float32:
    in_camera = (xyz_N3 - c2w_44[:3, 3]) @ c2w_44[:3, :3]
    return np.asarray(in_camera[:, :2] / in_camera[:, 2:], dtype=np.float32)


def test_the_same_number_is_the_same_exam(exam: Exam) -> None:
    again = make_exam(0)
    assert np.array_equal(again.photo.rgb_HWC, exam.photo.rgb_HWC)
    assert np.array_equal(again.rgb_VSSC, exam.rgb_VSSC)
    assert not np.array_equal(make_exam(1).photo.rgb_HWC, exam.photo.rgb_HWC)


def test_moved_cameras_see_of_the_asset_what_the_exam_sees_of_the_moved_asset(exam: Exam) -> None:
    pose = ReferencePose(elevation_deg=17.0, framing=Framing(focal_scale=1.3, shift_x=0.1, shift_y=-0.2))
    placement = place(CropMap(x0_px=30, y0_px=50, side_px=160, size_px=256), pose, exam)
    points = np.random.default_rng(0).normal(0, 0.4, (50, 3)).astype(np.float32)
    moved, cameras = placement.points(points), placement.cameras(exam.c2w_V44)
    for view in (0, 7, 15):
        expected = _projected(moved, exam.c2w_V44[view])
        np.testing.assert_allclose(_projected(points, cameras[view]), expected, atol=1e-4)


def test_directions_turn_with_the_points_but_neither_move_nor_grow(exam: Exam) -> None:
    pose = ReferencePose(elevation_deg=-5.0, framing=Framing(focal_scale=0.8, shift_x=0.3, shift_y=0.0))
    placement = place(CropMap(x0_px=0, y0_px=0, side_px=256, size_px=256), pose, exam)
    a, b = np.random.default_rng(1).normal(size=(2, 8, 3)).astype(np.float32)
    expected = (placement.points(a) - placement.points(b)) / placement.scale
    np.testing.assert_allclose(placement.directions(a - b), expected, atol=1e-5)


def test_the_truth_is_perfect_the_photo_copied_is_not_and_nothing_is_worst(exam: Exam) -> None:
    truth = score_views(exam.rgb_VSSC, exam.alpha_VSS, exam)
    assert truth.psnr > 90
    assert truth.ssim == pytest.approx(1.0)
    assert truth.iou == 1.0
    copy, nothing = score_copy(exam), score_nothing(exam)
    assert 0.3 < copy.iou < 1.0
    assert nothing.iou == 0.0
    assert nothing.psnr < copy.psnr < truth.psnr


def test_means_leave_out_what_is_not_known() -> None:
    some = score_nothing(make_exam(0))
    other = replace(some, chamfer=0.25)
    assert mean_score([some, other]).chamfer == 0.25
    assert np.isnan(mean_score([some, some]).chamfer)
