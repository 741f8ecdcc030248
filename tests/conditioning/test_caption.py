"""Captions freed of what captioners say about pictures, and parted from the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from lift3d_ray.conditioning import View, clean_caption, describe, split_view
from lift3d_ray.conditioning.caption import describe_best
from lift3d_ray.recipes import CaptionConfig
from lift3d_ray.toybox.attributes import random_caption
from lift3d_ray.types import CropMap, Float32, Subject, UInt8


@dataclass
class Says:
    """A captioner that always says the same, and remembers what it saw."""

    words: str
    others: tuple[str, ...] = ()
    seen: list[UInt8] = field(default_factory=list)

    def caption(self, rgb_HWC: UInt8) -> str:
        self.seen.append(rgb_HWC)
        return self.words

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        return list(self.others[:count])


class Likes:
    """An encoder in whose eyes pictures agree with a sentence as much as they are told to."""

    def __init__(self, **agreement: float) -> None:
        self.agreement = agreement

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        return np.array([[1, 0]] * len(images_BHWC), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        cosines = [max(value for word, value in self.agreement.items() if word in text) for text in texts]
        return np.array([[c, (1 - c * c) ** 0.5] for c in cosines], np.float32)


def subject() -> Subject:
    alpha = np.zeros((16, 16), np.float32)
    alpha[4:12, 4:12] = 1
    crop = CropMap(x0_px=0, y0_px=0, side_px=16, size_px=16)
    return Subject(rgb_HWC=np.full((16, 16, 3), 60, np.uint8), alpha_HW=alpha, crop=crop, score=1.0)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("there is a close up of a red mug on a white background.", "a red mug"),
        ("arafed image of a robot with a white background", "a robot"),
        ("There are two dogs that are standing in the grass", "two dogs that are standing in the grass"),
        ("a toy car sitting on a white surface", "a toy car"),
        ("a teddy bear teddy bear sitting on a black background", "a teddy bear"),
        ("a close-up photo of a hamburger", "a hamburger"),
        ("a 3d rendering of a rocket", "a rocket"),
        ("a plant in a pot, white background", "a plant in a pot"),
        ("a black and white cat", "a black and white cat"),
        ("a house with a white door", "a house with a white door"),
        ("a  frame with a picture of a cat", "a frame with a picture of a cat"),
        ("a white background", "an object"),
        ("", "an object"),
    ],
)
def test_oddities_go(said: str, kept: str) -> None:
    assert clean_caption(said) == kept


@pytest.mark.parametrize(
    ("caption", "thing", "view"),
    [
        ("a red mug with white stripes, front view", "a red mug with white stripes", View.FRONT),
        ("a car, side view", "a car", View.SIDE),
        ("a car, rear view", "a car", View.BACK),
        ("side view of a red car", "a red car", View.SIDE),
        ("an overhead view of a pizza", "a pizza", View.TOP),
        ("a car seen from behind", "a car", View.BACK),
        ("a car from above", "a car", View.TOP),
        ("a dog viewed from the front", "a dog", View.FRONT),
        ("the back of a truck", "a truck", View.BACK),
        ("a house with a front door", "a house with a front door", None),
        ("a room with a view", "a room with a view", None),
        ("a man in front of a house", "a man in front of a house", None),
    ],
)
def test_thing_and_view_are_parted(caption: str, thing: str, view: View | None) -> None:
    assert split_view(caption) == (thing, view)


def test_embedded_captions_pass_unchanged() -> None:
    generator = np.random.default_rng(11)
    for _ in range(500):
        caption = random_caption(generator)
        assert clean_caption(caption) == caption
        thing, view = split_view(caption)
        assert caption == (thing if view is None else f"{thing}, {view.value} view")
        assert (view is not None) == caption.endswith(" view")


def test_the_captioner_sees_the_subject_on_white_and_the_view_comes_last() -> None:
    captioner = Says("there is a side view of a red car on a white background")
    assert describe(subject(), captioner) == "a red car, side view"
    (seen,) = captioner.seen
    assert (seen[0, 0] == 255).all()
    assert (seen[8, 8] == 60).all()


def test_a_speechless_captioner_still_gives_words() -> None:
    assert describe(subject(), Says("")) == "an object"


SAYING = Says("there is a cup", others=("a red mug, side view", "a red mug from the side", "a pan"))


@pytest.mark.parametrize(
    ("candidates", "liked", "wanted"),
    [
        (4, {"cup": 0.1, "mug": 0.9, "pan": 0.3}, "a red mug, side view"),
        (4, {"cup": 0.1, "mug": 0.2, "pan": 0.9}, "a pan"),
        (3, {"cup": 0.1, "mug": 0.2, "pan": 0.9}, "a red mug, side view"),
        (4, {"a": 0.5}, "a cup"),
        (1, {"cup": 0.1, "mug": 0.9}, "a cup"),
    ],
)
def test_of_several_captions_the_one_that_agrees_best_is_kept(
    candidates: int, liked: dict[str, float], wanted: str
) -> None:
    config = CaptionConfig(candidates=candidates)
    assert describe_best(subject(), SAYING, Likes(**liked), config, seed=0) == wanted


def test_captions_that_hold_the_keyword_come_first_and_else_it_is_put_before() -> None:
    likes, config = Likes(cup=0.9, mug=0.2, pan=0.1), CaptionConfig(candidates=4)
    assert describe_best(subject(), SAYING, likes, config, seed=0, keyword="mug") == "a red mug, side view"
    assert describe_best(subject(), SAYING, likes, config, seed=0, keyword="toy") == "toy, a cup"
