"""Captions are taken apart, put together, shortened and scored."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.toybox import random_caption
from lift3d_ray.toybox.training.phrases import (
    CHOICES,
    UNSAID,
    Words,
    read_caption,
    recolour,
    score_captions,
    shorten,
    word_rows,
    write_caption,
)

WHOLE = [
    "a red mug, front view",
    "an orange and white car, back view",
    "a gray teapot with pink vertical stripes, side view",
]


def test_reading_and_writing_are_inverse() -> None:
    rng = np.random.default_rng(0)
    captions = [random_caption(rng) for _ in range(300)]
    assert [write_caption(read_caption(text)) for text in captions] == captions


def test_reading_finds_every_word() -> None:
    assert read_caption(WHOLE[2]) == Words("teapot", "gray", "pink", "vertical stripes", "side")
    assert read_caption(WHOLE[1]) == Words("car", "orange", "white", "", "back")


@pytest.mark.parametrize("text", ["", "a mug", "two red mugs", "a red mug on a table", "a red mug, bottom view"])
def test_other_sentences_say_nothing(text: str) -> None:
    assert read_caption(text) == Words()


def test_rows_point_at_the_words() -> None:
    rows = word_rows(WHOLE)
    assert rows.shape == (3, 5)
    assert [CHOICES[k][rows[2, k]] for k in range(5)] == list(read_caption(WHOLE[2]))


def test_short_sentences_say_only_what_is_true() -> None:
    captions = WHOLE * 100
    sentences, said = shorten(captions, np.zeros(300, bool), np.random.default_rng(1))
    true = word_rows(captions)
    assert ((said == true) | (said == UNSAID)).all()
    assert (said[:, 0] != UNSAID).all()
    for k in range(1, 5):
        assert 0.05 < (said[:, k] == UNSAID).mean() < 0.95
    for sentence, row in zip(sentences, said, strict=True):
        assert ("view" in sentence) == (row[4] != UNSAID)
        assert CHOICES[0][row[0]] in sentence


def test_nothing_is_said_of_colours_that_are_not_known() -> None:
    _, said = shorten(WHOLE * 20, np.ones(60, bool), np.random.default_rng(1))
    assert (said[:, 1:4] == UNSAID).all()


def test_other_colours_keep_the_form() -> None:
    rng = np.random.default_rng(2)
    changed = [read_caption(recolour(WHOLE[2], rng)) for _ in range(50)]
    assert {words._replace(first="", second="") for words in changed} == {
        Words("teapot", "", "", "vertical stripes", "side")
    }
    assert all(words.first != words.second for words in changed)
    assert len({words.first for words in changed}) > 5
    assert read_caption(recolour(WHOLE[0], rng)).second == ""


def test_scores_count_each_word() -> None:
    said = ["a red mug, back view", "a white and orange car, back view", "something else"]
    figures = score_captions(said, WHOLE)
    wanted = {"class": 2, "colours": 2, "first_colour": 1, "pattern": 2, "view": 1, "exact": 0}
    assert figures == pytest.approx({name: count / 3 for name, count in wanted.items()})
