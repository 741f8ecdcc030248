"""Text to 3D without a picture (DreamFusion: Poole et al. 2022): every view is distilled from the text prior.

The route is that of a photo from the field on. What a photo would have said is left out: there is no subject to cut
out, no depth, no pose, no solid to start from and no pixels to keep, so the field starts as a soft ball. The thing's
own front is azimuth 0.

Shape suffix: S picture side.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Conditioning, DepthHint, OptimizeConfig, Quality, Recipe
from lift3d_ray.types import CropMap, Perception, Subject

TEXT_SCALE = 4.0
"""Least guidance where only words say what it is; at 7.5 the embedded prior made bulkier chairs and greener ducks."""

_STEPS = {Quality.DRAFT: 240, Quality.STANDARD: 480, Quality.FINE: 960}


def words_recipe(recipe: Recipe) -> Recipe:
    """The recipe for words alone: other guidance, cameras all round at once, from much noise to little.

    Questions that show the prior a photo become questions in words of the same weight; those about depth stay.
    """
    terms = tuple(
        replace(term, scale=max(term.scale, TEXT_SCALE), conditioning=_worded(term.conditioning))
        for term in recipe.guidance
    )
    optimize: OptimizeConfig = replace(
        recipe.optimize,
        steps=_STEPS[recipe.quality],
        learning_rate=0.05,
        density_rate=1.0,
        timestep_start=(0.7, 0.95),
        timestep_end=(0.1, 0.3),
        azimuth_start_deg=180.0,
        warmup_steps=0,
        # What it starts from is a ball, whose depth is no hint.
        hint=DepthHint.FIELD,
    )
    # No solid and no photo keep the surface from following every view's noise. White matter before white costs nothing
    # otherwise; what opacity costs takes off little of it.
    losses = replace(recipe.losses, opacity=0.05, smooth_density=0.6)
    return replace(recipe, guidance=terms, optimize=optimize, losses=losses)


def words_perception(prompt: str, recipe: Recipe) -> Perception:
    """What there is to see of a thing that is words: a white picture without a subject.

    Raises:
        ConfigError: the prompt is empty, or the recipe asks for what only a picture has.
    """
    words = " ".join(prompt.split())
    if not words:
        raise ConfigError("an empty prompt says nothing to make; say what it is, such as 'a red mug'")
    refuse_pictures(recipe)
    side = recipe.subject.size_px
    nothing = np.zeros((side, side), dtype=np.float32)
    subject = Subject(
        rgb_HWC=np.full((side, side, 3), 255, dtype=np.uint8),
        alpha_HW=nothing,
        crop=CropMap(x0_px=0, y0_px=0, side_px=side, size_px=side),
        score=0.0,
    )
    return Perception(subject=subject, caption=words, disparity_HW=nothing)


def refuse_pictures(recipe: Recipe) -> None:
    """See that a recipe asks for nothing that only a picture has.

    Raises:
        ConfigError: it does, or it has no guidance at all.
    """
    asks = {
        "guidance by the view of a photo (words_recipe exchanges it)": any(
            term.conditioning is Conditioning.VIEW for term in recipe.guidance
        ),
        "stage two (refine.steps)": recipe.refine.steps > 0,
        "a word learnt from the picture (inversion.steps)": recipe.inversion.steps > 0,
        "a cloud guessed from the picture (optimize.cloud_start)": recipe.optimize.cloud_start,
        "CLIP's likeness to the picture (losses.clip_*)": recipe.losses.ask_clip,
    }
    wrong = [what for what, asked in asks.items() if asked]
    if wrong:
        raise ConfigError(f"without a picture there can be no {', nor '.join(wrong)}: turn it off, or give a picture")
    if not recipe.guidance:
        raise ConfigError("without a picture and without guidance nothing says what to make: choose another recipe")


def remarks(recipe: Recipe) -> tuple[str, ...]:
    """Sentences about how an asset came about without a picture."""
    terms = ", ".join(f"{term.conditioning.value} at scale {term.scale:g}" for term in recipe.guidance)
    return (
        f"Made from words alone, without a picture: every view is distilled from the prior by {terms}.",
        "What the recipe asks of a photo is left out (its colours, silhouette, depth, pose and guessed solid), and "
        "guidance by the photo's view is replaced by guidance in words.",
    )


def _worded(conditioning: Conditioning) -> Conditioning:
    return Conditioning.TEXT if conditioning is Conditioning.VIEW else conditioning


