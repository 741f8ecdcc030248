"""How a step sees the field: sharpness, sample count and occupancy of the moment."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.render import RenderedRays, render_rays
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32

WHITE = 1.0
_GOLDEN = 0.618034


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
    origins, directions = novel_rays(azimuth_B, elevation_B, side, device)
    rendered = render_step(state, origins, directions, recipe, done, background=torch.full((3,), WHITE, device=device))
    return rendered, as_pictures(rendered.rgb_N3, side, picture_px)


def views_all_round(count: int, recipe: Recipe) -> tuple[Float32, Float32]:
    """(V,) azimuths all round and elevations over the recipe's range, degrees: always the same ones."""
    turn, (low, high) = np.arange(count), recipe.optimize.elevation_deg
    return (
        np.asarray((turn + 0.5) * 360 / count - 180, dtype=np.float32),
        np.asarray(low + (high - low) * (turn * _GOLDEN % 1), dtype=np.float32),
    )


def novel_rays(
    azimuth_B: Float32, elevation_B: Float32, side: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Origins and directions, (N, 3) each, through the pixels of novel views with this side, view by view."""
    origins, directions = pixel_rays(orbit_c2w(azimuth_B, elevation_B), side)
    return (
        torch.from_numpy(origins.reshape(-1, 3)).to(device),
        torch.from_numpy(directions.reshape(-1, 3)).to(device),
    )


def as_pictures(rgb_N3: Tensor, side: int, picture_px: int) -> Tensor:
    """Colours of rays, view by view, as pictures (B, 3, S, S) of the prior's size ``picture_px``."""
    picture = rgb_N3.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
    if side != picture_px:
        size = (picture_px, picture_px)
        picture = torch.nn.functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)
    return picture


def jittered(
    origins_N3: Tensor, directions_N3: Tensor, spread: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rays of a camera that is moved and turned by a little, the same for all of them (stable-dreamfusion).

    Args:
        origins_N3: (N, 3) world.
        directions_N3: (N, 3) of length 1 along the viewing axis.
        spread: deviation of both, along each axis; 0 draws nothing.
        generator: draws on the CPU.
    """
    if not spread:
        return origins_N3, directions_N3
    shift_3, turn_3 = (spread * torch.randn(2, 3, generator=generator)).to(origins_N3)
    return origins_N3 + shift_3, directions_N3 + turn_3
