"""Which mask is the subject: rules that need no model."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.models.subjects import (
    Candidate,
    frame_cover,
    is_plausible,
    mask_iou,
    rank_subjects,
    resize_mask,
    tidy_mask,
)
from lift3d_ray.types import Bool


def box(top: int, left: int, bottom: int, right: int, size: int = 64) -> Bool:
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def candidate(mask: Bool, iou: float = 0.9) -> Candidate:
    return Candidate(mask_HW=mask, predicted_iou=iou, stability=0.95)


def test_the_large_central_mask_comes_first() -> None:
    main, corner, small = box(16, 16, 50, 48), box(0, 0, 20, 20), box(30, 52, 38, 60)
    ranked = rank_subjects([candidate(small), candidate(corner), candidate(main)])
    assert np.array_equal(ranked[0].mask_HW, main)
    assert len(ranked) == 3


def test_a_trusted_mask_beats_an_equal_one_that_is_not() -> None:
    left, right = box(20, 8, 44, 28), box(20, 36, 44, 56)
    assert np.array_equal(rank_subjects([candidate(left, 0.5), candidate(right, 0.9)])[0].mask_HW, right)


def test_backdrop_specks_and_the_whole_picture_are_no_subjects() -> None:
    backdrop = ~box(16, 16, 48, 48)
    assert not is_plausible(backdrop)
    assert not is_plausible(box(0, 0, 2, 2))
    assert not is_plausible(box(0, 0, 64, 64))
    assert rank_subjects([candidate(backdrop), candidate(np.zeros((64, 64), dtype=np.bool_))]) == []


def test_one_thing_seen_twice_is_kept_once() -> None:
    assert len(rank_subjects([candidate(box(16, 16, 48, 48)), candidate(box(16, 16, 48, 47), 0.8)])) == 1


def test_tidy_closes_pinholes_and_drops_specks_but_keeps_handles_and_parts() -> None:
    mask = box(10, 10, 50, 50)
    mask[20:22, 20:22] = False
    mask[30:42, 30:42] = False
    mask[2:5, 2:5] = True
    mask[52:62, 10:30] = True
    tidied = tidy_mask(mask)
    assert tidied[20:22, 20:22].all(), "a pinhole is closed"
    assert not tidied[30:42, 30:42].any(), "a mug's handle stays open"
    assert not tidied[2:5, 2:5].any(), "a speck is dropped"
    assert tidied[52:62, 10:30].all(), "a part of some size stays"


def test_frame_cover_counts_the_outermost_pixels_once() -> None:
    assert frame_cover(box(0, 0, 64, 64)) == 1.0
    assert frame_cover(box(1, 1, 63, 63)) == 0.0
    assert frame_cover(box(0, 0, 1, 64)) == pytest.approx(64 / 252)


def test_iou() -> None:
    assert mask_iou(box(0, 0, 10, 10), box(0, 0, 10, 5)) == 0.5
    assert mask_iou(box(0, 0, 0, 0), box(0, 0, 0, 0)) == 1.0


def test_resizing_keeps_place_and_area() -> None:
    mask = box(16, 8, 48, 24)
    larger = resize_mask(mask, (256, 128))
    assert larger.shape == (256, 128)
    assert larger.mean() == pytest.approx(mask.mean(), rel=0.03)
    assert larger[64:192, 16:48].mean() > 0.95
