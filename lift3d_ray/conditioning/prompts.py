"""View-dependent prompts: "..., front view", "..., back view" (DreamFusion: Poole et al. 2022, section 3.2).

Cameras are given relative to the photo: azimuth 0 is where the photo was taken. Elevations are absolute, above the
horizon. Shape suffix: V views.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from lift3d_ray.cameras import wrap_deg
from lift3d_ray.types import PromptBlend

FRONT_BELOW_DEG = 45.0
"""Within this azimuth of its front, a thing shows its front."""
BACK_ABOVE_DEG = 135.0
"""Beyond this azimuth it shows its back."""
TOP_ABOVE_DEG = 60.0
"""Above this elevation it shows its top, from wherever."""


class View(StrEnum):
    """The side of a thing that a camera sees, in the word that prompts and captions use."""

    FRONT = "front"
    SIDE = "side"
    BACK = "back"
    TOP = "top"


_PHOTO_AZIMUTH_DEG = {View.FRONT: 0.0, View.SIDE: 90.0, View.BACK: 180.0, View.TOP: 0.0}


@dataclass(frozen=True, kw_only=True)
class ViewPrompts:
    """One prompt and one negative prompt a view.

    Attributes:
        prompts: V sentences such as "a red mug, side view".
        negative_prompts: V sentences; "" is the empty prompt.
        blend: what is mixed into the prompts, None where they switch.
    """

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    blend: PromptBlend | None = None


def view_of(azimuth_deg: float, elevation_deg: float) -> View:
    """The side seen by a camera at an azimuth from the thing's *front* and an elevation above the horizon, degrees."""
    if elevation_deg > TOP_ABOVE_DEG:
        return View.TOP
    turned = abs(float(wrap_deg(azimuth_deg)))
    if turned < FRONT_BELOW_DEG:
        return View.FRONT
    return View.BACK if turned > BACK_ABOVE_DEG else View.SIDE


def view_prompts(
    caption: str,
    azimuth_deg_V: ArrayLike,
    elevation_deg_V: ArrayLike,
    *,
    reference_view: View | None,
    negative: str = "",
    back_negative: str = "",
    blended: bool = False,
) -> ViewPrompts:
    """Prompts for cameras placed relative to the photo.

    "Front" in a prompt is the thing's own front, so the photo's view counts: of a car seen from its side, the camera at
    azimuth 0 must be told "side view". The words do not say *which* side. The photo is then taken to be at +90 degrees
    (the thing's front lies at azimuth -90 of the photo), one of two equally good guesses: under the other, front and
    back change places, and side views stay what they are. A photo from the top says nothing about the azimuth of the
    front; it is taken as 0.

    Args:
        caption: the thing in words, without its view phrase (``split_view`` parts the two).
        azimuth_deg_V: (V,) azimuths relative to the photo, degrees.
        elevation_deg_V: (V,) elevations above the horizon, degrees.
        reference_view: what the photo shows; None counts as its front.
        negative: negative prompt of every view.
        back_negative: what must not be seen from behind ("face"), added to the negative prompt of back views.
        blended: front turns into side, and side into back, little by little as the camera goes round, instead of at
            once (stable-dreamfusion). Views from the top are that alone, and negative prompts still switch.

    Returns:
        V prompts of the form the embedded models were trained on, and V negative prompts.

    Raises:
        ValueError: not as many azimuths as elevations.
    """
    from_front = _from_front(azimuth_deg_V, elevation_deg_V, reference_view)
    views = [view_of(azimuth, elevation) for azimuth, elevation in from_front]
    negatives = tuple(_joined((negative, back_negative if view is View.BACK else "")) for view in views)
    if not blended:
        return ViewPrompts(prompts=tuple(_prompt(caption, view) for view in views), negative_prompts=negatives)
    ends = [_between(azimuth, elevation) for azimuth, elevation in from_front]
    return ViewPrompts(
        prompts=tuple(_prompt(caption, first) for first, _, _ in ends),
        negative_prompts=negatives,
        blend=PromptBlend(
            prompts=tuple(_prompt(caption, second) for _, second, _ in ends),
            share_B=np.array([share for _, _, share in ends], dtype=np.float32),
        ),
    )


def _between(azimuth_deg: float, elevation_deg: float) -> tuple[View, View, float]:
    """The two sides that a camera is between, and its share of the second; arguments as of ``view_of``."""
    if elevation_deg > TOP_ABOVE_DEG:
        return View.TOP, View.TOP, 0.0
    quarters = abs(float(wrap_deg(azimuth_deg))) / 90
    return (View.FRONT, View.SIDE, quarters) if quarters <= 1 else (View.SIDE, View.BACK, quarters - 1)


def _from_front(
    azimuth_deg_V: ArrayLike, elevation_deg_V: ArrayLike, reference_view: View | None
) -> list[tuple[float, float]]:
    """Azimuths from the thing's front, and elevations, of cameras placed relative to the photo."""
    azimuths = np.atleast_1d(np.asarray(azimuth_deg_V, dtype=np.float64))
    elevations = np.atleast_1d(np.asarray(elevation_deg_V, dtype=np.float64))
    if azimuths.ndim != 1 or azimuths.shape != elevations.shape:
        raise ValueError(f"wanted one elevation an azimuth, got shapes {azimuths.shape} and {elevations.shape}")
    offset = _PHOTO_AZIMUTH_DEG[reference_view or View.FRONT]
    return list(zip((azimuths + offset).tolist(), elevations.tolist(), strict=True))


def _prompt(caption: str, view: View) -> str:
    return f"{caption}, {view.value} view"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)
