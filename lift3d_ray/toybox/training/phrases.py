"""Captions of the toy world taken apart, put together, shortened and scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lift3d_ray.toybox.attributes import VIEWS, Attributes, describe
from lift3d_ray.toybox.classes import ALL_CLASSES
from lift3d_ray.toybox.palette import COLOURS, PATTERNS
from lift3d_ray.types import Bool, Int64

UNSAID = -1
_COLOUR = "|".join(COLOURS)
_CAPTION = re.compile(
    rf"an? (?P<first>{_COLOUR})(?: and (?P<trim>{_COLOUR}))? (?P<name>{'|'.join(ALL_CLASSES)})"
    rf"(?: with (?P<second>{_COLOUR}) (?P<pattern>{'|'.join(PATTERNS[1:])}))?"
    rf"(?:, (?P<view>{'|'.join(VIEWS)}) view)?"
)


class Words(NamedTuple):
    """What a caption says; a field is empty where it says nothing of the kind.

    Attributes:
        class_name: what it is.
        first: the first colour.
        second: the second colour.
        pattern: the pattern; "" = plain.
        view: front, side, back or top.
    """

    class_name: str = ""
    first: str = ""
    second: str = ""
    pattern: str = ""
    view: str = ""


# The words that each field of ``Words`` chooses from.
CHOICES: tuple[tuple[str, ...], ...] = (
    tuple(ALL_CLASSES),
    tuple(COLOURS),
    ("", *COLOURS),
    ("", *PATTERNS[1:]),
    VIEWS,
)


def read_caption(text: str) -> Words:
    """Take a caption apart; one that is not of the toy world's form says nothing."""
    match = _CAPTION.fullmatch(text)
    if match is None:
        return Words()
    part = {name: value or "" for name, value in match.groupdict().items()}
    return Words(part["name"], part["first"], part["trim"] or part["second"], part["pattern"], part["view"])


def write_caption(words: Words) -> str:
    """Put a caption together: the inverse of ``read_caption``."""
    attributes = Attributes(words.class_name, words.first, words.second or None, words.pattern or "plain")
    return describe(attributes) + (f", {words.view} view" if words.view else "")


def word_rows(captions: Sequence[str]) -> Int64:
    """(B, 5) int64: where the words of whole captions stand in ``CHOICES``."""
    rows = [[row.index(word) for row, word in zip(CHOICES, read_caption(text), strict=True)] for text in captions]
    return np.asarray(rows, dtype=np.int64)


def recolour(caption: str, rng: np.random.Generator) -> str:
    """The same sentence with other colours: what to say before the class when its true colours are not known."""
    words = read_caption(caption)
    first, second = (str(name) for name in rng.choice(list(COLOURS), 2, replace=False))
    return write_caption(words._replace(first=first, second=second if words.second else ""))


def shorten(captions: Sequence[str], colourless_B: Bool, rng: np.random.Generator) -> tuple[list[str], Int64]:
    """Say less of each picture, the way people do: no view, no pattern, no colours, or "a photo of".

    Args:
        captions: B whole captions.
        colourless_B: (B,) bool, captions to say nothing of colours.
        rng: decides what is left out.

    Returns:
        B sentences, and (B, 5) int64 rows like ``word_rows`` with ``UNSAID`` for what a sentence leaves open.
    """
    said_B5 = word_rows(captions)
    sentences = []
    for row, caption, colourless in zip(said_B5, captions, colourless_B, strict=True):
        words, draw = read_caption(caption), rng.random()
        if colourless or draw < 0.12:
            sentence, row[1:4] = f"{_article(words.class_name)} {words.class_name}", UNSAID
        elif draw < 0.24:
            sentence, row[2:4] = write_caption(Words(words.class_name, words.first)), UNSAID
        else:
            sentence = write_caption(words._replace(view=""))
        if rng.random() < 0.55:
            sentence = f"{sentence}, {words.view} view"
        else:
            row[4] = UNSAID
        sentences.append(f"a photo of {sentence}" if rng.random() < 0.15 else sentence)
    return sentences, said_B5


def score_captions(said: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Shares of captions, in [0, 1], whose class, colours, first colour, pattern, view and whole text are right."""
    pairs = [(read_caption(a), read_caption(b)) for a, b in zip(said, true, strict=True)]
    return {
        "class": float(np.mean([a.class_name == b.class_name for a, b in pairs])),
        "colours": float(np.mean([{a.first, a.second} == {b.first, b.second} for a, b in pairs])),
        "first_colour": float(np.mean([a.first == b.first for a, b in pairs])),
        "pattern": float(np.mean([a.pattern == b.pattern for a, b in pairs])),
        "view": float(np.mean([a.view == b.view for a, b in pairs])),
        "exact": float(np.mean([a == b for a, b in zip(said, true, strict=True)])),
    }


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
