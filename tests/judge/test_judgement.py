"""What a lift is judged by, with an encoder that sees one colour and reads one word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lift3d_ray.judge import best, judged
from lift3d_ray.judge.judgement import COSINE_UNIT, FIT_UNIT_DB, JANUS_UNIT, VIEWS
from lift3d_ray.types import Asset, Candidate, Float32, UInt8
from tests.export.assets import small_asset

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


class Colours:
    """Pictures are their mean colours; "front" is red, "side" green, "back" blue."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        means = images_BHWC.reshape(len(images_BHWC), -1, 3).mean(1) + 1e-6
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.read = list(texts)
        words = ("front view", "side view", "back view")
        return np.array([[float(text.endswith(word)) for word in words] for text in texts], dtype=np.float32)


def turned(colours: Sequence[tuple[int, int, int]], *, frames: int = 24, photo: tuple[int, int, int] = RED) -> Asset:
    """An asset whose turn shows these colours, an eighth each from the front on, beside normals of white."""
    asset = small_asset(caption="a thing")
    side = 4
    shown = np.full((frames, side, 2 * side, 3), 255, np.uint8)
    for frame in range(frames):
        shown[frame, :, :side] = colours[frame * len(colours) // frames]
    subject = asset.perception.subject
    plain = replace(
        subject,
        rgb_HWC=np.broadcast_to(np.array(photo, np.uint8), subject.rgb_HWC.shape).copy(),
        alpha_HW=np.ones_like(subject.alpha_HW),
    )
    return replace(asset, turntable_VHWC=shown, perception=replace(asset.perception, subject=plain))


TRUE = [RED, GREEN, GREEN, BLUE, BLUE, BLUE, GREEN, GREEN]


@pytest.mark.parametrize("frames", [8, 24, 36, 48])
def test_every_view_is_held_against_its_own_words(frames: int) -> None:
    encoder = Colours()
    figures = judged(turned(TRUE, frames=frames), encoder)
    assert len(encoder.read) == VIEWS
    assert encoder.read[0] == "a thing, front view"
    assert encoder.read[4] == "a thing, back view"
    assert {text.split(", ")[1].removesuffix(" view") for text in encoder.read} == {"front", "side", "back"}
    assert figures.words > 0.6


def test_a_front_drawn_again_on_the_back_costs() -> None:
    honest = judged(turned(TRUE), Colours())
    janus = judged(turned([RED, GREEN, GREEN, RED, RED, RED, GREEN, GREEN]), Colours())
    assert honest.janus == pytest.approx(0, abs=1e-6)
    assert janus.janus == pytest.approx(1)
    # Its back would be more like the photo, which counts on the photo's own side alone.
    assert janus.likeness == pytest.approx(honest.likeness)
    assert janus.score < honest.score


def test_the_photo_s_side_counts_by_its_likeness() -> None:
    like, unlike = judged(turned([RED] * 8), Colours()), judged(turned([RED] * 8, photo=BLUE), Colours())
    assert like.likeness == pytest.approx(1)
    assert unlike.likeness == pytest.approx(0, abs=1e-6)


def test_the_score_is_the_formula_that_is_told() -> None:
    asset = turned(TRUE)
    figures = judged(asset, Colours())
    assert figures.fit_db == asset.metrics["reference_psnr"]
    expected = (
        figures.fit_db / FIT_UNIT_DB + (figures.likeness + figures.words) / COSINE_UNIT - figures.janus / JANUS_UNIT
    )
    assert figures.score == pytest.approx(expected)
    better = judged(replace(asset, metrics={"reference_psnr": asset.metrics["reference_psnr"] + 1}), Colours())
    assert better.score == pytest.approx(figures.score + 1 / FIT_UNIT_DB)


def test_the_best_is_the_earliest_of_the_highest_and_never_one_that_failed() -> None:
    failed = Candidate(seed=0, error="it diverged", score=99.0)
    given = [failed, *(Candidate(seed=seed, score=score) for seed, score in ((1, 2.0), (2, 3.0), (3, 3.0)))]
    assert best(given) == 2
    assert best([Candidate(seed=0, score=math.nan), Candidate(seed=1, score=-5.0)]) == 1
    for none in ([], [failed]):
        with pytest.raises(ValueError, match="has a score"):
            best(none)
