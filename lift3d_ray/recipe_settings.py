"""Single numbers of a recipe exchanged by name, as ``lift3d-ray recipes NAME`` prints them: ``refine.steps=80``.

The changed recipe has another digest, so its lifts are work of their own.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Recipe

FIXED = ("name", "quality", "guidance")
"""Settings that have options of their own, or none."""


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with some of its numbers exchanged.

    Args:
        recipe: what to change.
        settings: ``dotted.name=value``; tuples as ``(0.2, 0.6)`` or ``0.2,0.6``, switches as ``true`` or ``false``.

    Raises:
        ConfigError: no such setting, a value of another kind, or one that the recipe refuses.
    """
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"a setting is name=value, such as refine.steps=80; got {setting!r}")
        recipe = _exchanged(recipe, path.strip().split("."), value.strip(), path.strip())
    return recipe


def _exchanged(config: Any, path: list[str], text: str, whole: str) -> Any:
    """A dataclass with what lies at the end of the path exchanged."""
    name, *rest = path
    known = [field.name for field in fields(config) if field.name not in FIXED]
    if name not in known:
        raise ConfigError(f"a recipe has no setting {whole!r}: there are {', '.join(known)}")
    present = getattr(config, name)
    if is_dataclass(present) != bool(rest):
        wanted = f"one of its settings, such as {whole}.{fields(present)[0].name}" if not rest else "nothing behind it"
        raise ConfigError(f"{whole!r} is no single setting: {name} takes {wanted}")
    return replace(config, **{name: _exchanged(present, rest, text, whole) if rest else _read(text, present, whole)})


def _read(text: str, present: Any, whole: str) -> Any:
    """A value of the present one's kind."""
    if isinstance(present, StrEnum):
        kind = type(present)
        if text not in set(kind):
            raise ConfigError(f"{whole} takes one of {', '.join(kind)}, got {text!r}")
        return kind(text)
    if isinstance(present, str):
        return text
    value: Any = {"true": True, "false": False}.get(text.lower())
    if value is None:
        try:
            value = literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
    if isinstance(present, float) and type(value) is int:
        value = float(value)
    if isinstance(present, tuple):
        value = tuple(_like(part, present) for part in (value if isinstance(value, (tuple, list)) else (value,)))
    if type(value) is not type(present) or (isinstance(present, tuple) and not _alike(value, present)):
        raise ConfigError(f"{whole} takes a value like {present!r}, got {text!r}")
    return value


def _like(part: Any, present: tuple[Any, ...]) -> Any:
    return float(part) if type(part) is int and isinstance(present[0], float) else part


def _alike(value: tuple[Any, ...], present: tuple[Any, ...]) -> bool:
    """Whether tuples hold the same kind; those of whole numbers, such as resolutions, may have other lengths."""
    kinds = {type(part) for part in value}
    same_length = len(value) == len(present) or type(present[0]) is int
    return bool(value) and kinds == {type(present[0])} and same_length
