"""Named colours, fixed accents, patterns and finishes of the toy world."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import Float

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.96, 0.52, 0.08),
    "yellow": (0.96, 0.85, 0.15),
    "green": (0.16, 0.62, 0.22),
    "cyan": (0.20, 0.78, 0.82),
    "blue": (0.13, 0.30, 0.85),
    "purple": (0.50, 0.18, 0.70),
    "pink": (0.97, 0.56, 0.72),
    "brown": (0.46, 0.28, 0.14),
    "black": (0.17, 0.17, 0.18),
    "gray": (0.54, 0.55, 0.57),
    "white": (0.93, 0.93, 0.92),
}

ACCENTS: dict[str, tuple[float, float, float]] = {
    "dark": (0.08, 0.08, 0.09),
    "tyre": (0.11, 0.11, 0.12),
    "glass": (0.55, 0.76, 0.90),
    "metal": (0.68, 0.70, 0.73),
    "wood": (0.58, 0.40, 0.22),
    "bark": (0.40, 0.27, 0.16),
    "leaf": (0.22, 0.52, 0.20),
    "light": (0.99, 0.92, 0.55),
    "flame": (0.99, 0.62, 0.12),
    "carrot": (0.95, 0.48, 0.10),
    "white": (0.95, 0.95, 0.94),
    "cream": (0.95, 0.87, 0.72),
    "wafer": (0.80, 0.58, 0.32),
    "cherry": (0.78, 0.08, 0.14),
    "nose": (0.90, 0.50, 0.52),
    "soil": (0.30, 0.21, 0.15),
    "clay": (0.74, 0.40, 0.26),
}

PATTERNS: tuple[str, ...] = (
    "plain",
    "stripes",
    "vertical stripes",
    "checks",
    "dots",
    "zigzags",
)

_HELD_OUT_COLOURS_A_CLASS = 2
_LEAST_CONTRAST = 0.42
_BAND_SHARE = 0.42


@dataclass(frozen=True)
class Finish:
    """How a surface answers to light.

    Attributes:
        name: ``"matte"``, ``"glossy"`` or ``"metallic"``.
        highlight: strength of the highlight, added to the colour.
        doublings: the highlight's exponent is 2 ** doublings.
        contrast: how much of the brightness comes from the key light.
        tint: share of the surface's own colour in the highlight.
    """

    name: str
    highlight: float
    doublings: int
    contrast: float
    tint: float


FINISHES: tuple[Finish, ...] = (
    Finish("matte", 0.0, 1, 0.44, 0.0),
    Finish("glossy", 0.28, 5, 0.44, 0.0),
    Finish("metallic", 0.30, 3, 0.52, 0.6),
)


def held_out_colours(class_name: str) -> frozenset[str]:
    """The primary colours in which a class never appears in training.

    The choice is a fixed hash of the names: two of the twelve colours a class.
    """
    def rank(colour: str) -> bytes:
        return hashlib.sha256(f"{class_name}/{colour}".encode()).digest()

    return frozenset(sorted(COLOURS, key=rank)[:_HELD_OUT_COLOURS_A_CLASS])


def contrasting(colour: str) -> tuple[str, ...]:
    """The colours that can be told from the given one at a glance."""
    own = np.array(COLOURS[colour])
    return tuple(
        name for name, rgb in COLOURS.items()
        if float(np.linalg.norm(np.array(rgb) - own)) >= _LEAST_CONTRAST
    )


def jittered(rgb: tuple[float, float, float], rng: np.random.Generator, amount: float) -> Float:
    """A colour moved a little in hue and brightness.

    Args:
        rgb: colour in [0, 1].
        rng: source of randomness.
        amount: largest change of a channel.

    Returns:
        (3,) float32 in [0.02, 0.98].
    """
    shade = 1 + rng.uniform(-1.5, 1.5) * amount
    # The same step would turn a dark colour into another hue.
    step = amount * (0.3 + 0.7 * max(rgb))
    moved = np.array(rgb) * shade + rng.uniform(-step, step, 3)
    return np.clip(moved, 0.02, 0.98).astype(np.float32)


def second_colour(pattern: str, uv: Float) -> NDArray[np.bool_]:
    """Says where a pattern shows its second colour.

    Args:
        pattern: one of ``PATTERNS``.
        uv: (N, 2) float32 coordinates in pattern cells.

    Returns:
        (N,) bool.
    """
    u, v = uv[:, 0], uv[:, 1]
    if pattern == "stripes":
        return _band(v)
    if pattern == "vertical stripes":
        return _band(u)
    if pattern == "checks":
        return np.asarray(_odd(u) != _odd(v))
    if pattern == "dots":
        du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
        return np.asarray(du * du + dv * dv < 0.31**2)
    if pattern == "zigzags":
        return _band(v + np.abs(u - 2 * np.floor(u / 2) - 1))
    return np.zeros(len(uv), bool)


def _band(values: Float) -> NDArray[np.bool_]:
    """Narrow bands: the first colour has to stay the dominant one."""
    half = values / 2
    return np.asarray(half - np.floor(half) < _BAND_SHARE)


def _odd(values: Float) -> NDArray[np.bool_]:
    return np.asarray(np.floor(values).astype(np.int32) & 1, bool)
