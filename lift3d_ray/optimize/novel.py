"""Losses of the views nobody photographed: distilled from the prior at every step, or drawn by it once and fitted.

Shape suffixes: B views of a step, V drawn views, S picture side.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.conditioning.prompts import view_prompts
from lift3d_ray.field.disparity import disparity_picture
from lift3d_ray.field.render import RenderedRays
from lift3d_ray.guidance import regularizers
from lift3d_ray.guidance.ddim import descend
from lift3d_ray.guidance.sds import (
    NovelViews,
    ask_prior,
    draw_timesteps,
    estimate_clean,
    image_loss,
    latent_loss,
)
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.hint import cloud_hint
from lift3d_ray.optimize.likeness import estimate_loss, render_losses, views_for_clip
from lift3d_ray.optimize.rendering import render_novel, views_all_round
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import Drawn, FitState
from lift3d_ray.optimize.surface import relit_pictures, surface_losses
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32

EMPTINESS_STEP = 20.0
"""How much more emptiness counts in the second half (3DFuse)."""


def novel_losses(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    done: float,
) -> dict[str, Tensor]:
    """Weighted losses of this step's novel views, by name; without guidance the regularisers alone."""
    if recipe.guidance and recipe.optimize.drawn_views:
        if state.drawn is None:
            state.drawn = _draw(scene, state, recipe, prior, codec, schedule, done)
        chosen = torch.randperm(len(state.drawn.azimuth_V), generator=state.generator)[: recipe.optimize.views]
        azimuth, elevation = state.drawn.azimuth_V[chosen].numpy(), state.drawn.elevation_V[chosen].numpy()
        rendered, picture = render_novel(state, recipe, codec.image_size, azimuth, elevation, done)
        target = state.drawn.pictures_V3SS[chosen].to(picture)
        losses = {"drawn_image": recipe.losses.image * image_loss(picture, target)}
    else:
        azimuth, elevation = draw_cameras(state, recipe, done)
        rendered, picture = render_novel(state, recipe, codec.image_size, azimuth, elevation, done)
        if done >= recipe.optimize.shading.after:
            picture = relit_pictures(state, recipe, rendered, codec.image_size, azimuth, elevation)
        losses = {}
        if recipe.guidance:
            hint = depth_hint(scene, rendered, recipe, azimuth, elevation, recipe.optimize.view_px, codec.image_size)
            views = describe_views(scene, azimuth, elevation, hint, recipe)
            losses = _distil(scene, state, recipe, prior, codec, schedule, views, picture, done)
    losses |= render_losses(scene, recipe, picture, azimuth)
    losses |= surface_losses(state, recipe, rendered, azimuth, elevation)
    return losses | regularize(rendered, recipe, done)


def _distil(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    views: NovelViews,
    picture_B3SS: Tensor,
    done: float,
) -> dict[str, Tensor]:
    """Score distillation: the prior cleans the noised render, the render follows, or CLIP judges what came of it."""
    weights, views_at = recipe.losses, views.azimuth_deg_B
    low, high = timestep_range(recipe, done)
    timesteps = draw_timesteps(schedule, low, high, len(views_at), state.generator)
    for_clip = views_for_clip(scene, recipe, schedule, timesteps, views_at)
    wants_latent_gradient = weights.latent > 0 or bool(for_clip.any())
    with torch.set_grad_enabled(wants_latent_gradient):
        latents = codec.encode(picture_B3SS if wants_latent_gradient else picture_B3SS.detach())
    started = time.perf_counter()
    clean = ask_prior(
        latents.detach().float().cpu().numpy(),
        views,
        recipe.guidance,
        prior,
        schedule,
        timesteps_B=timesteps,
        noise_BCHW=torch.randn(tuple(latents.shape), generator=state.generator).numpy(),
    )
    state.count_prior(time.perf_counter() - started, clean.batch_size)
    estimate = torch.from_numpy(clean.latents_BCHW).to(latents)
    losses = {}
    if for_clip.any():
        judged = estimate_loss(scene, codec, latents[for_clip], estimate[for_clip], views_at[for_clip.numpy()])
        losses["clip_denoised"] = weights.clip_denoised * float(for_clip.float().mean()) * judged
    if for_clip.all():
        return losses
    left, share = ~for_clip, float((~for_clip).float().mean())
    if weights.latent:
        losses["sds_latent"] = share * weights.latent * latent_loss(latents[left], estimate[left])
    if weights.image:
        with torch.no_grad():
            target = codec.decode(estimate[left])
        losses["sds_image"] = share * weights.image * image_loss(picture_B3SS[left], target)
    return losses


@torch.no_grad()
def _draw(
    scene: Scene,
    state: FitState,
    recipe: Recipe,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    done: float,
) -> Drawn:
    """Views all round, sampled from the prior, each for itself: cheap, and as consistent as the prior is."""
    count = recipe.optimize.drawn_views
    azimuth, elevation = views_all_round(count, recipe)
    rendered, _ = render_novel(state, recipe, codec.image_size, azimuth, elevation, done)
    hint = depth_hint(scene, rendered, recipe, azimuth, elevation, recipe.optimize.view_px, codec.image_size)
    views = describe_views(scene, azimuth, elevation, hint, recipe)
    shape = (count, *scene.reference.latents_CHW.shape)
    noise = torch.randn(shape, generator=state.generator).numpy()

    def estimate(noisy_VCHW: Float32, timesteps_V: np.ndarray) -> Float32:
        started = time.perf_counter()
        clean = estimate_clean(noisy_VCHW, views, recipe.guidance, prior, schedule, timesteps_B=timesteps_V)
        state.count_prior(time.perf_counter() - started, clean.batch_size)
        return clean.latents_BCHW

    latents = descend(estimate, schedule, noise, steps=recipe.optimize.drawing_steps)
    pictures = codec.decode(torch.from_numpy(latents).to(codec.device)).float().cpu()
    return Drawn(
        azimuth_V=torch.from_numpy(azimuth), elevation_V=torch.from_numpy(elevation), pictures_V3SS=pictures
    )


def describe_views(
    scene: Scene, azimuth_B: Float32, elevation_B: Float32, disparity_B1HW: Float32 | None, recipe: Recipe
) -> NovelViews:
    """What the prior is told about these views.

    Args:
        scene: caption, its learned tokens, and the reference.
        azimuth_B: (B,) degrees relative to the photo.
        elevation_B: (B,) degrees above the horizon.
        disparity_B1HW: (B, 1, H, W) of what is to be drawn, or None where no term is conditioned on depth.
        recipe: how prompts turn with the view.
    """
    prompts = view_prompts(
        scene.caption,
        azimuth_B,
        elevation_B,
        reference_view=scene.reference_view,
        back_negative=recipe.optimize.back_negative,
        blended=recipe.optimize.blend_prompts,
    )
    return NovelViews(
        prompts=prompts.prompts,
        negative_prompts=prompts.negative_prompts,
        azimuth_deg_B=azimuth_B,
        elevation_deg_B=elevation_B,
        reference=scene.reference,
        disparity_B1HW=disparity_B1HW,
        learned=scene.learned,
        blend=prompts.blend,
    )


def regularize(rendered: RenderedRays, recipe: Recipe, done: float) -> dict[str, Tensor]:
    """Weighted losses of what novel views saw of the solid, by name."""
    weights, losses = recipe.losses, {}
    if weights.entropy:
        losses["entropy"] = weights.entropy * done * regularizers.alpha_entropy(rendered.opacity_N)
    if weights.opacity:
        losses["opacity"] = weights.opacity * regularizers.opacity(rendered.opacity_N)
    if weights.emptiness:
        weight = weights.emptiness * (1 if done < 0.5 else EMPTINESS_STEP)
        losses["emptiness"] = weight * regularizers.emptiness(rendered.weights_MK, len(rendered.opacity_N))
    return losses


def draw_cameras(state: FitState, recipe: Recipe, done: float) -> tuple[Float32, Float32]:
    """(B,) azimuths and elevations: spread evenly, the range widening from the photo's side to all round."""
    config = recipe.optimize
    reach = config.azimuth_start_deg + (180 - config.azimuth_start_deg) * min(1.0, 2 * done)
    draws = torch.rand(2, config.views, generator=state.generator).numpy()
    spread = (np.arange(config.views) + draws[0]) / config.views
    low, high = config.elevation_deg
    return (
        np.asarray(reach * (2 * spread - 1), dtype=np.float32),
        np.asarray(low + (high - low) * draws[1], dtype=np.float32),
    )


def timestep_range(recipe: Recipe, done: float) -> tuple[float, float]:
    """(low, high) fractions of the schedule drawn from at this share of the steps."""
    start, end = recipe.optimize.timestep_start, recipe.optimize.timestep_end
    return tuple(a + (b - a) * done for a, b in zip(start, end, strict=True))  # type: ignore[return-value]


def depth_hint(
    scene: Scene,
    rendered: RenderedRays,
    recipe: Recipe,
    azimuth_B: Float32,
    elevation_B: Float32,
    side: int,
    size: int,
) -> Float32 | None:
    """(B, 1, S, S) disparity in [0, 1] to steer the prior by, only where a guidance term is conditioned on depth.

    Args:
        scene: whose cloud tells the depth, where it has one; else the renders' own does.
        rendered: the views, ``side`` rays along a side.
        recipe: whose guidance is asked.
        azimuth_B: (B,) degrees of the views.
        elevation_B: (B,) degrees above the horizon.
        side: see above.
        size: S.
    """
    if not recipe.asks_depth:
        return None
    if scene.cloud is not None:
        return cloud_hint(scene.cloud, azimuth_B, elevation_B, size=size, radius=recipe.optimize.hint_radius)
    return _disparity(rendered, side, size)


def _disparity(rendered: RenderedRays, side: int, size: int) -> Float32:
    """(B, 1, S, S) disparity of renders with this side, in [0, 1]."""
    depth_BHW = rendered.depth_N.detach().reshape(-1, side, side).cpu().numpy()
    solid_BHW = rendered.opacity_N.detach().reshape(-1, side, side).cpu().numpy() > 0.5
    pictures = [disparity_picture(*view) for view in zip(depth_BHW, solid_BHW, strict=True)]
    pictures_B1HW = torch.from_numpy(np.stack(pictures))[:, None]
    enlarged = torch.nn.functional.interpolate(pictures_B1HW, size=(size, size), mode="nearest")
    return np.asarray(enlarged.numpy(), dtype=np.float32)
