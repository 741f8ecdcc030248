"""Relative depth: its range, its ends, its rim."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from lift3d_ray.conditioning import estimate_depth
from lift3d_ray.conditioning.depth import SHOWN_FILL
from lift3d_ray.errors import BundleError
from lift3d_ray.types import CropMap, Float32, Subject, UInt8

SIZE = 256
RADIUS = 96.0


@dataclass
class Answers:
    """A depth model with a prepared answer, which remembers what it saw."""

    disparity: Float32
    seen: list[UInt8] = field(default_factory=list)

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        self.seen.append(rgb_HWC)
        # The picture was cut around its middle, which these subjects share.
        edge = max(0, (len(self.disparity) - len(rgb_HWC)) // 2)
        return self.disparity[edge : edge + len(rgb_HWC), edge : edge + len(rgb_HWC)]


def distance_from_centre() -> Float32:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    return np.asarray(np.hypot(rows, columns), dtype=np.float32)


def ball(radius: float = RADIUS) -> Subject:
    alpha = np.clip(radius - distance_from_centre() + 0.5, 0, 1).astype(np.float32)
    crop = CropMap(x0_px=0, y0_px=0, side_px=SIZE, size_px=SIZE)
    return Subject(rgb_HWC=np.full((SIZE, SIZE, 3), 90, np.uint8), alpha_HW=alpha, crop=crop, score=1.0)


def dome(radius: float = RADIUS) -> Float32:
    """Disparity of a hemisphere in front of a far background."""
    return np.asarray(np.sqrt(np.maximum(radius**2 - distance_from_centre() ** 2, 0)))


def test_near_is_one_and_outside_is_zero() -> None:
    subject = ball()
    model = Answers(dome() * 7 + 30)
    depth = estimate_depth(subject, model)
    assert depth.shape == (SIZE, SIZE)
    assert depth.dtype == np.float32
    assert depth.min() == 0
    assert depth.max() == 1
    assert depth[128, 128] == 1
    assert (depth[subject.alpha_HW <= 0.5] == 0).all()
    inside = distance_from_centre() < 88
    assert np.corrcoef(depth[inside], dome()[inside])[0, 1] > 0.995
    (seen,) = model.seen
    assert (seen[0, 0] == 255).all()


def test_the_estimator_sees_the_subject_closely_wherever_it_lies() -> None:
    small, model = ball(20), Answers(np.zeros((0, 0), np.float32))
    moved = replace(small, alpha_HW=np.roll(small.alpha_HW, (-100, 60), (0, 1)))

    class Left:
        """Nearer to the left of whatever is shown."""

        def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
            model.seen.append(rgb_HWC)
            return np.broadcast_to(-np.arange(rgb_HWC.shape[1], dtype=np.float32), rgb_HWC.shape[:2]).copy()

    depth = estimate_depth(moved, Left())
    (seen,) = model.seen
    shown = (seen != 255).any(-1)
    assert seen.shape[0] == seen.shape[1]
    assert shown.any(0).sum() / len(seen) == pytest.approx(SHOWN_FILL, abs=0.05)
    rows, columns = np.nonzero(depth > 0.9)
    assert columns.max() < np.nonzero(moved.alpha_HW > 0.5)[1].mean() - 10
    assert (depth[moved.alpha_HW <= 0.5] == 0).all()
    assert rows.max() < 60


def test_scale_and_shift_do_not_matter() -> None:
    one, other = estimate_depth(ball(), Answers(dome())), estimate_depth(ball(), Answers(dome() * 0.01 - 5))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_spikes_do_not_squeeze_the_range() -> None:
    spiked = dome()
    spiked[128, 128], spiked[100, 100] = 1e5, -1e5
    np.testing.assert_allclose(
        estimate_depth(ball(), Answers(spiked)), estimate_depth(ball(), Answers(dome())), atol=0.02
    )


def test_the_blended_rim_takes_the_estimate_from_inside() -> None:
    plateau = np.where(distance_from_centre() < 94.5, 10 + np.arange(SIZE) / SIZE, 0.0).astype(np.float32)
    depth = estimate_depth(ball(), Answers(plateau))
    rim = (distance_from_centre() > 90) & (distance_from_centre() < RADIUS) & (np.arange(SIZE) > 128)
    assert depth[rim].min() > 0.4  # the background's 0 would make it 0


def test_a_flat_subject_is_in_the_middle() -> None:
    depth = estimate_depth(ball(), Answers(np.full((SIZE, SIZE), 3.0, np.float32)))
    assert set(np.unique(depth)) == {0.0, 0.5}
    assert depth.dtype == np.float32


def test_a_thin_subject_has_depth() -> None:
    line = ball(0.1)
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[127:129, 20:236] = 1
    thin = Subject(rgb_HWC=line.rgb_HWC, alpha_HW=alpha, crop=line.crop, score=1.0)
    ramp = np.broadcast_to(np.arange(SIZE, dtype=np.float32), (SIZE, SIZE)).copy()
    depth = estimate_depth(thin, Answers(ramp))
    assert depth[128, 40] < 0.2
    assert depth[128, 220] > 0.8


def test_an_empty_mask_gives_zeros() -> None:
    empty = ball(-5)
    assert not estimate_depth(empty, Answers(dome())).any()


def test_unusable_answers_blame_the_bundle() -> None:
    with pytest.raises(BundleError, match=r"\(4, 4\)"):
        estimate_depth(ball(), Answers(np.zeros((4, 4), np.float32)))
    with pytest.raises(BundleError, match="not finite"):
        estimate_depth(ball(), Answers(np.full((SIZE, SIZE), np.nan, np.float32)))
