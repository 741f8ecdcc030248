"""A field on its way, drawn for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.field.render import render_view
from lift3d_ray.mesh.rasterize import to_uint8
from lift3d_ray.optimize.rendering import sharpness
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Progress, UInt8

VIEWS = 4
"""Sides it is drawn from, a quarter of a turn apart, the photo's first."""
SIDE_PX = 112
_ELEVATION_DEG = 15.0


@dataclass(frozen=True, kw_only=True)
class Sight(Progress):
    """A report of a lift that can be looked at. It stays in the lift's own process: it holds on to the field.

    Attributes:
        look: draws the field as it is, (SIDE_PX, VIEWS SIDE_PX, 3) uint8; to be called before the lift goes on.
    """

    look: Callable[[], UInt8]


def plain(progress: Progress) -> Progress:
    """The report without its sight, so that it can travel."""
    return Progress(**{item.name: getattr(progress, item.name) for item in fields(Progress)})


def look(state: FitState, recipe: Recipe) -> UInt8:
    """(SIDE_PX, VIEWS SIDE_PX, 3) uint8: a field of colours as it is now, over white. Draws no random number."""
    views_V44 = orbit_c2w(np.arange(VIEWS) * (360.0 / VIEWS), _ELEVATION_DEG)
    slope = sharpness(recipe, state.step / recipe.optimize.steps)
    pictures = [
        render_view(
            state.field,
            c2w_44,
            SIDE_PX,
            sharpness=slope,
            n_samples=state.field.resolution,
            occupancy=state.occupancy,
        ).rgb_HW3
        for c2w_44 in views_V44
    ]
    return np.concatenate([to_uint8(picture.float().cpu().numpy()) for picture in pictures], axis=1)
