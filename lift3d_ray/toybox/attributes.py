"""What can be said about a toy in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lift3d_ray.toybox.classes import ALL_CLASSES, TRAIN_CLASSES
from lift3d_ray.toybox.palette import COLOURS, PATTERNS, contrasting

VIEWS: tuple[str, ...] = ("front", "side", "back", "top")
_FRONT_BELOW = 45.0
_BACK_ABOVE = 135.0
_TOP_ABOVE = 60.0
_SUFFIX_CHANCE = 0.5


@dataclass(frozen=True)
class Attributes:
    """The words that describe a toy.

    Attributes:
        class_name: what it is.
        primary: name of the first colour.
        secondary: name of the second colour, or None where only one is to be seen.
        pattern: one of ``palette.PATTERNS``.
        finish: ``"matte"``, ``"glossy"`` or ``"metallic"``; captions leave it out.
    """

    class_name: str
    primary: str
    secondary: str | None
    pattern: str
    finish: str = "matte"

    def as_dict(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return asdict(self)


def view_name(azimuth_deg: float, elevation_deg: float) -> str:
    """Names the side from which a toy is seen: front, side, back or top (angles in degrees)."""
    if elevation_deg > _TOP_ABOVE:
        return "top"
    turned = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
    if turned < _FRONT_BELOW:
        return "front"
    return "back" if turned > _BACK_ABOVE else "side"


def describe(
    attributes: Attributes,
    azimuth_deg: float | None = None,
    elevation_deg: float | None = None,
) -> str:
    """Writes the caption of a toy, with the view where an angle is given.

    Args:
        attributes: what to describe.
        azimuth_deg: camera azimuth in degrees, or None to leave the view out.
        elevation_deg: camera elevation in degrees, 0 where only the azimuth is given.

    Returns:
        Such as "a red mug with white stripes, front view".
    """
    text = _phrase(attributes)
    if azimuth_deg is None and elevation_deg is None:
        return text
    return f"{text}, {view_name(azimuth_deg or 0.0, elevation_deg or 0.0)} view"


def _phrase(attributes: Attributes) -> str:
    article = "an" if attributes.primary[0] in "aeiou" else "a"
    start = f"{article} {attributes.primary}"
    if attributes.secondary is None:
        return f"{start} {attributes.class_name}"
    if attributes.pattern == "plain":
        return f"{start} and {attributes.secondary} {attributes.class_name}"
    return f"{start} {attributes.class_name} with {attributes.secondary} {attributes.pattern}"


def random_attributes(
    rng: np.random.Generator, colours: tuple[str, ...], *, two_coloured: bool
) -> tuple[str, str | None, str]:
    """Draws first colour, second colour and pattern.

    Args:
        rng: source of randomness.
        colours: the permitted first colours.
        two_coloured: whether a plain toy of this class can show a second colour.
    """
    first = colours[int(rng.integers(len(colours)))]
    others = contrasting(first)
    second = others[int(rng.integers(len(others)))]
    pattern = PATTERNS[int(rng.integers(1, len(PATTERNS)))] if rng.random() < 0.5 else "plain"
    single = pattern == "plain" and (not two_coloured or rng.random() < 0.4)
    return first, None if single else second, pattern


def random_caption(rng: np.random.Generator) -> str:
    """A caption of a toy that training might show, half of the time with a view."""
    class_name = TRAIN_CLASSES[int(rng.integers(len(TRAIN_CLASSES)))]
    first, second, pattern = random_attributes(
        rng, tuple(COLOURS), two_coloured=ALL_CLASSES[class_name].two_coloured
    )
    text = _phrase(Attributes(class_name, first, second, pattern))
    if rng.random() < _SUFFIX_CHANCE:
        text += f", {VIEWS[int(rng.integers(len(VIEWS)))]} view"
    return text


VOCABULARY: tuple[str, ...] = (
    "a", "an", "and", "with", "view", *VIEWS,
    *COLOURS,
    *sorted({word for pattern in PATTERNS[1:] for word in pattern.split()}),
    *ALL_CLASSES,
)
