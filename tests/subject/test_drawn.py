"""The subject of a drawing: the segmenter's, or else what is not white."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.errors import NoSubject
from lift3d_ray.subject import select_subject
from lift3d_ray.subject.drawn import ink_mask
from lift3d_ray.types import Bool, MaskProposal, Photo, SegmentQuery


class Finds:
    def __init__(self, *masks: Bool) -> None:
        self.masks = masks

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        return [MaskProposal(mask_HW=mask, score=0.9) for mask in self.masks]


def drawing(*, drawn: bool = True, blank: bool = False) -> Photo:
    """A red ring with a speck beside it, on a white that is not quite white."""
    rgb = np.full((64, 64, 3), 250, np.uint8)
    if blank:
        rgb[0, 0] = 240
    else:
        rgb[16:48, 16:48] = (200, 30, 30)
        rgb[28:36, 28:36] = 250
        rgb[4:6, 58:60] = 0
    return Photo(rgb_HWC=rgb, alpha_HW=None, digest="d", name="a red ring", drawn=drawn)


def ring() -> Bool:
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    mask[28:36, 28:36] = False
    return mask


def test_ink_is_the_largest_patch_and_keeps_its_holes() -> None:
    np.testing.assert_array_equal(ink_mask(drawing()).mask_HW, ring())
    assert not ink_mask(drawing(blank=True)).mask_HW.any()


def test_where_the_segmenter_finds_nothing_a_drawing_is_what_is_not_white() -> None:
    np.testing.assert_array_equal(select_subject(drawing(), Finds()).mask_HW, ring())
    with pytest.raises(NoSubject):
        select_subject(drawing(drawn=False), Finds())


def test_the_segmenter_comes_first() -> None:
    part = ring() & (np.arange(64) < 40)
    assert select_subject(drawing(), Finds(part)).score == 0.9


def test_an_empty_drawing_has_no_subject() -> None:
    with pytest.raises(NoSubject, match="what was drawn is empty; try another seed"):
        select_subject(drawing(blank=True), Finds())
