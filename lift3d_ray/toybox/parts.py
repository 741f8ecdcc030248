"""Painted pieces, and the dice from which a toy's proportions are thrown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np

from lift3d_ray.toybox.mesh import Mesh

T = TypeVar("T")

PRIMARY = "primary"
SECONDARY = "secondary"
_BAND = 0.1
_OUTER_CHANCE = 0.6


class Split(Enum):
    """Which part of the toy world an object is drawn from.

    Attributes:
        TRAIN: trained classes, the inner 80 % of every proportion, permitted colours.
        HELD_OUT: trained classes in colours and proportions that training never shows.
        HELD_OUT_CLASSES: whole classes that training never shows.
    """

    TRAIN = "train"
    HELD_OUT = "held_out"
    HELD_OUT_CLASSES = "held_out_classes"


@dataclass(frozen=True)
class Part:
    """One painted piece of a toy.

    Attributes:
        mesh: a closed mesh in the toy's own units, +Y up and front +Z.
        paint: ``"primary"`` (takes the pattern), ``"secondary"`` or the name of an accent.
    """

    mesh: Mesh
    paint: str


def primary(*meshes: Mesh) -> list[Part]:
    """Pieces in the first colour, which carries the pattern."""
    return [Part(mesh, PRIMARY) for mesh in meshes]


def secondary(*meshes: Mesh) -> list[Part]:
    """Pieces in the second colour."""
    return [Part(mesh, SECONDARY) for mesh in meshes]


def accent(name: str, *meshes: Mesh) -> list[Part]:
    """Pieces in a fixed colour of ``palette.ACCENTS``."""
    return [Part(mesh, name) for mesh in meshes]


class Dice:
    """Draws proportions so that the split decides which part of a range is used."""

    def __init__(self, rng: np.random.Generator, split: Split) -> None:
        """Remembers where randomness comes from.

        Args:
            rng: source of randomness.
            split: HELD_OUT draws from the outer bands of the ranges, the others from within.
        """
        self._rng = rng
        self._outer = split is Split.HELD_OUT
        self._first = True

    def vary(self, low: float, high: float) -> float:
        """A number between low and high: the inner 80 % in training, held-out numbers outside.

        Held-out toys take the outer bands for their first number and most of the others.
        """
        where = float(self._rng.uniform(_BAND, 1 - _BAND))
        outer = float(self._rng.uniform(0, _BAND))
        far_end, chosen = self._rng.random() < 0.5, self._rng.random() < _OUTER_CHANCE
        if self._outer and (self._first or chosen):
            where = 1 - outer if far_end else outer
        self._first = False
        return low + where * (high - low)

    def choose(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self._rng.random() < probability)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self._rng.integers(low, high + 1))
