"""How a step sees the field: sharpness, sample count and occupancy of the moment."""

from __future__ import annotations

import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.render import RenderedRays, render_rays
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32

WHITE = 1.0


def sharpness(recipe: Recipe, done: float) -> float:
    """Slope of the density, growing geometrically with the share of the steps done."""
    first, last = recipe.optimize.sharpness
    return float(first * (last / first) ** done)


def render_step(
    state: FitState, origins_N3: Tensor, directions_N3: Tensor, recipe: Recipe, done: float, *, background: Tensor
) -> RenderedRays:
    """Rays through the field as it is at this step; ``background`` is (3,)."""
    return render_rays(
        state.field,
        origins_N3,
        directions_N3,
        n_samples=round(recipe.optimize.samples * state.field.resolution),
        sharpness=sharpness(recipe, done),
        occupancy=state.occupancy,
        background=background,
        generator=state.generator,
    )


def render_novel(
    state: FitState, recipe: Recipe, picture_px: int, azimuth_B: Float32, elevation_B: Float32, done: float
) -> tuple[RenderedRays, Tensor]:
    """Rays of novel views, and their pictures (B, 3, S, S) over white at the prior's size ``picture_px``."""
    side, device = recipe.optimize.view_px, state.field.values_V4.device
    origins, directions = pixel_rays(orbit_c2w(azimuth_B, elevation_B), side)
    rendered = render_step(
        state,
        torch.from_numpy(origins.reshape(-1, 3)).to(device),
        torch.from_numpy(directions.reshape(-1, 3)).to(device),
        recipe,
        done,
        background=torch.full((3,), WHITE, device=device),
    )
    picture = rendered.rgb_N3.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
    if side != picture_px:
        size = (picture_px, picture_px)
        picture = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)
    return rendered, picture
