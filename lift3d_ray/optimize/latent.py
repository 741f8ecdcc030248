"""Score distillation on a field of latents (Score Jacobian Chaining: Wang et al. 2023; 3DFuse in Anything-3D).

The field is rendered straight at the latents' resolution, and what is rendered is what the prior cleans: no encoder is
in the loop, neither its time nor its gradients. The photo supervises in latents too.

Shape suffixes: B views, C latent channels, h w latent cells.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from lift3d_ray.field.render import RenderedRays
from lift3d_ray.guidance.sds import NovelViews, ask_prior, chained_loss, draw_timesteps
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.latent_photo import LatentPhoto
from lift3d_ray.optimize.novel import depth_hint, describe_views, draw_cameras, regularize, timestep_range
from lift3d_ray.optimize.rendering import novel_rays, render_step
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32


def latent_losses(
    scene: Scene,
    photo: LatentPhoto,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    schedule: NoiseSchedule,
    picture_px: int,
    done: float,
) -> dict[str, Tensor]:
    """Weighted losses of this step's novel views, by name; without guidance the regularisers alone.

    Args:
        scene: what stays fixed.
        photo: it in latents.
        state: what changes.
        recipe: all numbers.
        prior: answers the noise predictions.
        schedule: the prior's schedule.
        picture_px: side of the prior's pictures, the size of its depth maps.
        done: share of the steps done.
    """
    azimuth, elevation = draw_cameras(state, recipe, done)
    rendered, latents = render_latents(photo, state, recipe, azimuth, elevation, done)
    losses = {}
    if recipe.guidance and recipe.losses.chained:
        hint = depth_hint(scene, rendered, recipe, azimuth, elevation, photo.side, picture_px)
        views = describe_views(scene, azimuth, elevation, hint, recipe)
        losses["sds_chained"] = _distil(state, recipe, prior, schedule, views, latents, done)
    return losses | regularize(rendered, recipe, done)


def photo_loss(photo: LatentPhoto, state: FitState, recipe: Recipe, done: float) -> Tensor:
    """Mean absolute error between the photo's latents and the field's from there."""
    nothing = torch.zeros_like(photo.white_CHW[:, 0, 0])
    rendered = render_step(state, photo.origins_P3, photo.directions_P3, recipe, done, background=nothing)
    latents_1CHW = photo.over_white(rendered.rgb_N3, rendered.opacity_N)
    return (latents_1CHW - photo.photo_CHW).abs().mean()


def render_latents(
    photo: LatentPhoto, state: FitState, recipe: Recipe, azimuth_B: Float32, elevation_B: Float32, done: float
) -> tuple[RenderedRays, Tensor]:
    """Rays of novel views, ``photo.side`` along a side, and the views' latents (B, C, h, w) over white."""
    values = state.field.values_V4
    origins, directions = novel_rays(azimuth_B, elevation_B, photo.side, values.device)
    nothing = torch.zeros_like(photo.white_CHW[:, 0, 0])
    rendered = render_step(state, origins.to(values), directions.to(values), recipe, done, background=nothing)
    return rendered, photo.over_white(rendered.rgb_N3, rendered.opacity_N)


def _distil(
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    schedule: NoiseSchedule,
    views: NovelViews,
    latents_BCHW: Tensor,
    done: float,
) -> Tensor:
    """The prior cleans the noised render, the render follows."""
    low, high = timestep_range(recipe, done)
    timesteps = draw_timesteps(schedule, low, high, len(latents_BCHW), state.generator)
    started = time.perf_counter()
    clean = ask_prior(
        latents_BCHW.detach().float().cpu().numpy(),
        views,
        recipe.guidance,
        prior,
        schedule,
        timesteps_B=timesteps,
        noise_BCHW=torch.randn(tuple(latents_BCHW.shape), generator=state.generator).numpy(),
    )
    state.count_prior(time.perf_counter() - started, clean.batch_size)
    sigma_B = torch.from_numpy(schedule.noise(timesteps) / schedule.signal(timesteps)).reshape(-1)
    estimate = torch.from_numpy(clean.latents_BCHW).to(latents_BCHW)
    return recipe.losses.chained * chained_loss(latents_BCHW, estimate, sigma_B.to(latents_BCHW))
