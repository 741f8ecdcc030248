"""The numbers of an edit: those of a lift of the same quality, with a stage two of its own.

An edit that goes by a picture holds what the picture shows and lets the view-conditioned prior, told of that picture,
refine the rest. One that goes by words lets all colours go, and asks the text prior about noisier pictures, which it
is free to see otherwise.
"""

from __future__ import annotations

from dataclasses import replace

from lift3d_ray.recipes import Conditioning, GuidanceTerm, Quality, Recipe, make_it_3d

_STEPS = {Quality.DRAFT: 1.0, Quality.STANDARD: 2.0, Quality.FINE: 4.0}


def picture_recipe(quality: Quality = Quality.STANDARD) -> Recipe:
    """An edit by a picture of the subject."""
    recipe = make_it_3d(quality)
    return replace(recipe, refine=replace(recipe.refine, steps=round(40 * _STEPS[quality])))


def prompt_recipe(quality: Quality = Quality.STANDARD, *, with_depth: bool) -> Recipe:
    """An edit by words.

    Args:
        quality: how long it may take.
        with_depth: whether the text prior can be told the depth of what it repaints.
    """
    recipe = make_it_3d(quality)
    conditioning = Conditioning.DEPTH if with_depth else Conditioning.TEXT
    return replace(
        recipe,
        guidance=(GuidanceTerm(conditioning=conditioning, scale=3.0),),
        refine=replace(
            recipe.refine,
            steps=round(100 * _STEPS[quality]),
            timesteps=(0.2, 0.7),
            color_rate=2e-2,
            reference=0.0,
            similarity=0.0,
            contextual=0.0,
            anchor=0.05,
            anchor_seen=0.05,
        ),
    )
