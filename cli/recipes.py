"""``lift3d-ray recipes``: every number of a lift, before it is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import typer

from lift3d_ray.cli import options
from lift3d_ray.recipes import RECIPES, Quality


def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe whole; without it, list all.")] = None,
    quality: Annotated[Quality, typer.Option(help="How long a lift may take.")] = Quality.STANDARD,
    changes: options.Settings = None,
    json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """List the recipes, or show one whole: each number that enters its digest, and so the names of its results."""
    if name is None:
        for known, make in sorted(RECIPES.items()):
            sizes = ", ".join(f"{quality.value} {make(quality).digest}" for quality in Quality)
            print(f"{known}: {(make.__doc__ or '').strip()}\n  digests: {sizes}")
        return
    recipe = options.chosen_recipe(name, quality, changes)
    if json:
        print(recipe.to_json())
        return
    for line in settings(recipe):
        print(line)
    print(f"digest = {recipe.digest}")


def settings(value: Any, path: str = "") -> Iterator[str]:
    """One ``dotted.name = value`` line for every number of a nested dataclass."""
    if is_dataclass(value):
        for item in fields(value):
            yield from settings(getattr(value, item.name), f"{path}.{item.name}" if path else item.name)
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for index, item in enumerate(value):
            yield from settings(item, f"{path}[{index}]")
    else:
        yield f"{path} = {value}"
