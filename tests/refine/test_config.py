"""The settings of refinement refuse nonsense in words, and are off unless asked for."""

from __future__ import annotations

from typing import Any

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import RECIPES, Quality, RefineConfig


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("quality", list(Quality))
def test_no_shipped_recipe_refines(name: str, quality: Quality) -> None:
    assert RECIPES[name](quality).refine.steps == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": -1}, "steps must be 0 or more"),
        ({"size_px": 66}, "a multiple of 4"),
        ({"size_px": 8}, "at least 16"),
        ({"views": 0}, "must be >= 1"),
        ({"views": 9, "viewpoints": 8}, "at most the viewpoints"),
        ({"width": 6}, "width must be a multiple of 4"),
        ({"texture_px": 1000}, "a power of two"),
        ({"radius": 0.0}, "radius must be positive"),
        ({"timesteps": (0.5, 0.2)}, "0 < low <= high < 1"),
        ({"contextual": -1.0}, "contextual must be >= 0"),
        ({"anchor": float("nan")}, "anchor must be >= 0"),
    ],
)
def test_nonsense_is_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RefineConfig(**wrong)
