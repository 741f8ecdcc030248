"""Which mask is the subject, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from lift3d_ray.errors import BundleError, ConfigError, NoSubject
from lift3d_ray.store import keys
from lift3d_ray.subject import AUTOMATIC, EVERY, Selection, cutout_mask, every_subject, select_subject
from lift3d_ray.types import Bool, Float32, MaskProposal, Photo, SegmentQuery, UInt8
from tests.bad_inputs import BorderSegmenter

HEIGHT, WIDTH = 80, 120


def box_mask(x0: int, y0: int, x1: int, y1: int) -> Bool:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


LEFT, RIGHT = box_mask(10, 20, 40, 60), box_mask(70, 30, 90, 60)


def photo(alpha: Float32 | None = None) -> Photo:
    rgb = np.full((HEIGHT, WIDTH, 3), 240, np.uint8)
    rgb[LEFT], rgb[RIGHT] = (200, 20, 20), (20, 20, 200)
    return Photo(rgb_HWC=rgb, alpha_HW=alpha, digest="0" * 64, name="two.png")


@dataclass
class Fixed:
    """A segmenter with prepared answers, which remembers what it was asked."""

    masks: list[Bool]
    asked: list[SegmentQuery] = field(default_factory=list)

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        self.asked.append(query)
        return [MaskProposal(mask_HW=mask, score=0.8) for mask in self.masks]


def test_automatic_takes_the_first_proposal() -> None:
    chosen = select_subject(photo(), Fixed([RIGHT, LEFT]))
    np.testing.assert_array_equal(chosen.mask_HW, RIGHT)
    assert chosen.score == 0.8


def test_proposals_that_cannot_be_lifted_are_passed_over() -> None:
    everything, speck, empty = box_mask(0, 0, WIDTH, HEIGHT), box_mask(5, 5, 7, 7), box_mask(0, 0, 0, 0)
    frame = ~box_mask(20, 20, 60, 60)
    chosen = select_subject(photo(), Fixed([everything, frame, speck, empty, LEFT]))
    np.testing.assert_array_equal(chosen.mask_HW, LEFT)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (box_mask(0, 0, WIDTH, HEIGHT), "covers 100.00% of the picture"),
        (~box_mask(20, 20, 60, 60), "all four corners"),
        (box_mask(5, 5, 7, 16), "only 2 x 11 pixels"),
        (box_mask(5, 5, 18, 6), r"covers 0\.14% of the picture"),
        (box_mask(0, 0, 0, 0), "is empty"),
    ],
)
def test_the_best_proposal_is_what_the_message_is_about(mask: Bool, words: str) -> None:
    with pytest.raises(NoSubject, match=words) as caught:
        select_subject(photo(), Fixed([mask, box_mask(0, 0, 1, 1)]))
    assert str(caught.value).startswith("two.png: the best proposal ")
    assert "click or box" in str(caught.value)


def test_no_proposal_is_no_subject() -> None:
    with pytest.raises(NoSubject, match="nothing stands out"):
        select_subject(photo(), Fixed([]))


def test_one_colour_is_no_subject_whatever_the_segmenter_says() -> None:
    flat = Photo(rgb_HWC=np.full((HEIGHT, WIDTH, 3), 90, np.uint8), alpha_HW=None, digest="", name="flat.png")
    segmenter = Fixed([LEFT])
    with pytest.raises(NoSubject, match="one colour"):
        select_subject(flat, segmenter)
    assert segmenter.asked == []


def test_a_mask_of_another_size_blames_the_bundle() -> None:
    with pytest.raises(BundleError, match=r"\(3, 3\).*\(80, 120\)"):
        select_subject(photo(), Fixed([np.ones((3, 3), bool)]))


def test_a_cutout_needs_no_segmenter() -> None:
    alpha = np.where(LEFT, 1.0, 0.0).astype(np.float32)
    segmenter = Fixed([RIGHT])
    chosen = select_subject(photo(alpha), segmenter)
    np.testing.assert_array_equal(chosen.mask_HW, LEFT)
    assert chosen.score == 1.0
    assert segmenter.asked == []


def test_pointing_at_something_overrides_a_cutout() -> None:
    alpha = np.where(LEFT | RIGHT, 1.0, 0.0).astype(np.float32)
    chosen = select_subject(photo(alpha), Fixed([RIGHT]), Selection(points_xy_frac=((80 / WIDTH, 45 / HEIGHT),)))
    np.testing.assert_array_equal(chosen.mask_HW, RIGHT)


def test_a_cutout_at_half_opacity_is_whole() -> None:
    mask = cutout_mask(photo(np.where(LEFT, 0.4, 0.1).astype(np.float32)))
    assert mask is not None
    np.testing.assert_array_equal(mask, LEFT)


def test_a_photo_with_rounded_corners_is_segmented() -> None:
    alpha = np.ones((HEIGHT, WIDTH), np.float32)
    alpha[:2, :2] = 0
    assert cutout_mask(photo(alpha)) is None
    np.testing.assert_array_equal(select_subject(photo(alpha), Fixed([RIGHT])).mask_HW, RIGHT)


def test_a_tiny_cutout_is_no_subject() -> None:
    with pytest.raises(NoSubject, match="the cut-out is only 2 x 2 pixels"):
        select_subject(photo(np.where(box_mask(4, 4, 6, 6), 1.0, 0.0).astype(np.float32)), Fixed([LEFT]))


def test_clicks_and_boxes_reach_the_segmenter_in_pixels() -> None:
    segmenter = Fixed([LEFT])
    selection = Selection(
        points_xy_frac=((0.25, 0.5), (1.0, 1.0)), labels=(True, False), box_xyxy_frac=(0.05, 0.1, 0.5, 0.9)
    )
    select_subject(photo(), segmenter, selection)
    (query,) = segmenter.asked
    assert query.points_xy_px == ((30.0, 40.0), (WIDTH - 1.0, HEIGHT - 1.0))
    assert query.labels == (True, False)
    assert query.box_xyxy_px == pytest.approx((6, 8, 60, 72))


def test_the_proposal_under_the_click_is_taken() -> None:
    selection = Selection(points_xy_frac=((80 / WIDTH, 45 / HEIGHT),))
    np.testing.assert_array_equal(select_subject(photo(), Fixed([LEFT, RIGHT]), selection).mask_HW, RIGHT)
    np.testing.assert_array_equal(select_subject(photo(), BorderSegmenter(), selection).mask_HW, RIGHT)


def test_a_proposal_outside_the_box_is_not_taken() -> None:
    selection = Selection(box_xyxy_frac=(0.5, 0.2, 0.9, 0.9))
    np.testing.assert_array_equal(select_subject(photo(), Fixed([LEFT, RIGHT]), selection).mask_HW, RIGHT)
    with pytest.raises(NoSubject, match="outside the box"):
        select_subject(photo(), Fixed([LEFT]), selection)


def test_a_click_beside_everything_is_no_subject() -> None:
    with pytest.raises(NoSubject, match="beside the clicked point"):
        select_subject(photo(), Fixed([LEFT]), Selection(points_xy_frac=((0.95, 0.05),)))


def test_pixels_become_fractions() -> None:
    selection = Selection.from_pixels(
        width_px=200, height_px=100, points_xy_px=[(50, 50)], box_xyxy_px=(20, 10, 100, 90)
    )
    assert selection == Selection(points_xy_frac=((0.25, 0.5),), box_xyxy_frac=(0.1, 0.1, 0.5, 0.9))
    assert selection.point_labels == (True,)
    assert not AUTOMATIC.is_pointed
    assert selection.is_pointed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points_xy_frac": ((0.5, 0.5),), "labels": (True, False)}, "one label a point"),
        ({"points_xy_frac": ((0.5, 0.5),), "labels": (False,)}, "negative points alone"),
        ({"points_xy_frac": ((50.0, 0.5),)}, "from_pixels"),
        ({"points_xy_frac": ((float("nan"), 0.5),)}, "fractions"),
        ({"box_xyxy_frac": (0.5, 0.1, 0.4, 0.9)}, "left < right"),
        ({"thing": -1}, "counted from 1"),
        ({"thing": 1, "every": True}, "of one by its number"),
        ({"words": "mug", "every": True}, "of every thing"),
    ],
)
def test_senseless_selections_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Selection(**options)  # type: ignore[arg-type]


class RedOrBlue:
    """An encoder that knows two colours."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        means = 255 - images_BHWC.reshape(len(images_BHWC), -1, 3).mean(1)
        redness = (means[:, 2] - means[:, 0]) / 255
        return np.stack([redness, -redness], axis=1).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.asked = list(texts)
        return np.array([[1, 0] if "red" in text else [0, 1] for text in texts], np.float32)


@pytest.mark.parametrize(("words", "mask"), [("the red box", LEFT), ("Blue  thing", RIGHT)])
def test_words_choose_among_the_proposals(words: str, mask: Bool) -> None:
    segmenter, encoder = Fixed([RIGHT, LEFT]), RedOrBlue()
    chosen = select_subject(photo(), segmenter, Selection(words=words), encoder)
    np.testing.assert_array_equal(chosen.mask_HW, mask)
    assert segmenter.asked[0].points_xy_px == ()
    assert encoder.asked == [{"the red box": "a red box", "Blue  thing": "a blue thing"}[words]]


def test_words_never_choose_what_cannot_be_lifted() -> None:
    chosen = select_subject(photo(), Fixed([box_mask(70, 30, 75, 33), LEFT]), Selection(words="blue"), RedOrBlue())
    np.testing.assert_array_equal(chosen.mask_HW, LEFT)


def test_words_need_an_encoder_and_no_points() -> None:
    with pytest.raises(ConfigError, match="an encoder"):
        select_subject(photo(), Fixed([LEFT, RIGHT]), Selection(words="red"))
    for selection in ({"points_xy_frac": ((0.5, 0.5),)}, {"box_xyxy_frac": (0.1, 0.1, 0.9, 0.9)}):
        with pytest.raises(ConfigError, match="by words, or by points"):
            Selection(words="red", **selection)
    with pytest.raises(ConfigError, match="by words"):
        Selection(words=" ")


def test_selections_are_named_apart() -> None:
    selections = [
        AUTOMATIC,
        Selection(words="the mug"),
        Selection(words="the jug"),
        EVERY,
        Selection(thing=1),
        Selection(thing=2),
        Selection(points_xy_frac=((0.5, 0.5),)),
        Selection(points_xy_frac=((0.5, 0.5),), box_xyxy_frac=(0.1, 0.1, 0.9, 0.9)),
    ]
    assert len({selection.text for selection in selections}) == len(selections)
    assert AUTOMATIC.text == keys.AUTOMATIC
    assert Selection(words=" The  MUG").text == Selection(words="the mug").text


def test_every_subject_is_told_once_and_its_parts_are_not() -> None:
    handle, backdrop = box_mask(12, 22, 30, 40), np.ones((HEIGHT, WIDTH), bool)
    found = every_subject(photo(), Fixed([backdrop, LEFT, handle, RIGHT]))
    assert [mask.mask_HW.sum() for mask in found] == [LEFT.sum(), RIGHT.sum()]
    with pytest.raises(NoSubject, match=r"covers 100\.00%"):
        every_subject(photo(), Fixed([backdrop]))


def test_a_thing_is_lifted_alone_by_its_number_among_all() -> None:
    things = Fixed([RIGHT, LEFT])
    np.testing.assert_array_equal(select_subject(photo(), things, Selection(thing=2)).mask_HW, LEFT)
    with pytest.raises(NoSubject, match="thing 3 was asked for, of 2 that stand out"):
        select_subject(photo(), things, Selection(thing=3))
    with pytest.raises(ConfigError, match="no single subject"):
        select_subject(photo(), things, EVERY)
