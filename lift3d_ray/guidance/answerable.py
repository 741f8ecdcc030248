"""What is asked of a prior that cannot answer all that a recipe asks.

Stable Diffusion as published knows words, and depth through a ControlNet or by itself, but no reference picture. Both
papers that the recipes follow ask it just so: Make-It-3D by words, Anything-3D by words and depth; a view-conditioned
prior is what the embedded bundle has besides.
"""

from __future__ import annotations

from dataclasses import replace

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Conditioning, GuidanceTerm, Recipe

WORDS_SCALE = 11.0
"""Least guidance where no term shows the prior the photo: Make-It-3D's 10, which it counts from the told branch on."""


def answerable(recipe: Recipe, *, views: bool, depth: bool, words: bool) -> Recipe:
    """The recipe as the prior can answer it; itself, where that is all of it.

    Terms that the prior has no network for are left out; where none remains, it is asked by words, or, where it must be
    told depth, by words and depth.

    Args:
        recipe: all numbers.
        views: whether a reference picture can condition the prior.
        depth: whether depth can.
        words: whether words alone can.

    Raises:
        ConfigError: none of the three can.
    """
    able = {Conditioning.VIEW: views, Conditioning.DEPTH: depth, Conditioning.TEXT: words}
    if all(able[term.conditioning] for term in recipe.guidance):
        return recipe
    terms = tuple(term for term in recipe.guidance if able[term.conditioning])
    if not terms:
        kinds = (Conditioning.TEXT, Conditioning.DEPTH, Conditioning.VIEW)
        instead = next((kind for kind in kinds if able[kind]), None)
        if instead is None:
            raise ConfigError("the bundle's prior can be asked by nothing: it needs a unet, or a view_unet")
        terms = (GuidanceTerm(conditioning=instead, scale=1.0),)
    if not views:
        terms = tuple(replace(term, scale=max(term.scale, WORDS_SCALE)) for term in terms)
    return replace(recipe, guidance=terms)


def left_unasked(recipe: Recipe, asked: Recipe) -> tuple[str, ...]:
    """A sentence about what became of the recipe's guidance, none where it stayed as it was."""
    if asked.guidance == recipe.guidance:
        return ()
    before, after = (
        " and ".join(f"{term.conditioning.value} (scale {term.scale:g})" for term in one.guidance)
        for one in (recipe, asked)
    )
    return (f"The bundle's prior cannot be asked by {before}; it was asked by {after}.",)
