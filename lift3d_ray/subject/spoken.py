"""Selections as people write them: ``auto``, ``all``, ``#2``, or words."""

from __future__ import annotations

import re

from lift3d_ray.errors import ConfigError
from lift3d_ray.subject.select import AUTOMATIC, EVERY, Selection

AUTO, ALL = "auto", "all"
"""The main subject, and every thing in the picture."""

_NUMBER = re.compile(r"#(\d{1,9})")


def spoken_selection(text: str) -> Selection:
    """The selection that a short text says.

    Args:
        text: ``auto``, ``all``, one of all by its number (``#2``), or words for one.

    Raises:
        ConfigError: it says nothing, or the thing number 0.
    """
    number = _NUMBER.fullmatch(text)
    if number is None:
        return {AUTO: AUTOMATIC, ALL: EVERY}.get(text) or Selection(words=text)
    if int(number[1]) < 1:
        raise ConfigError(f"things of a picture are counted from 1, got {text!r}")
    return Selection(thing=int(number[1]))
