"""A recipe asks what the bundle's prior can answer, and says what it did not ask."""

from __future__ import annotations

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.guidance.answerable import WORDS_SCALE, answerable, left_unasked
from lift3d_ray.recipes import Conditioning, Recipe, anything_3d, make_it_3d

VIEW, DEPTH, TEXT = Conditioning.VIEW, Conditioning.DEPTH, Conditioning.TEXT


def asked(recipe: Recipe, **able: bool) -> list[tuple[Conditioning, float]]:
    changed = answerable(recipe, **{"views": False, "depth": False, "words": False, **able})
    return [(term.conditioning, term.scale) for term in changed.guidance]


@pytest.mark.parametrize("recipe", [make_it_3d(), anything_3d()])
def test_what_can_be_asked_stays_as_it_is(recipe: Recipe) -> None:
    assert answerable(recipe, views=True, depth=True, words=True) is recipe
    assert left_unasked(recipe, recipe) == ()


def test_a_prior_that_sees_no_photo_is_asked_as_the_papers_ask_it() -> None:
    assert asked(make_it_3d(), depth=True, words=True) == [(TEXT, WORDS_SCALE)]
    assert asked(anything_3d(), depth=True, words=True) == [(DEPTH, WORDS_SCALE)]
    assert asked(anything_3d(), words=True) == [(TEXT, WORDS_SCALE)]
    # A prior that must be told depth is not asked by words alone.
    assert asked(make_it_3d(), depth=True) == [(DEPTH, WORDS_SCALE)]


def test_a_prior_that_sees_the_photo_but_no_depth_keeps_its_scale() -> None:
    assert asked(anything_3d(), views=True, words=True) == [(VIEW, 1.0)]
    assert asked(make_it_3d(), views=True) == [(VIEW, 1.0)]


def test_a_prior_that_can_be_asked_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="asked by nothing"):
        asked(make_it_3d())


def test_what_was_not_asked_is_said() -> None:
    recipe = anything_3d()
    (sentence,) = left_unasked(recipe, answerable(recipe, views=False, depth=True, words=True))
    assert sentence == (
        "The bundle's prior cannot be asked by view (scale 1) and depth (scale 3); it was asked by depth (scale 11)."
    )
