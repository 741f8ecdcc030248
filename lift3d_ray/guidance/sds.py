"""Score distillation through a remote noise prediction.

The scene renders and encodes, draws timestep and noise itself, and asks only for the noise prediction. What comes
back turns into the clean estimate x0 = (z_t - sigma eps) / alpha, a constant: pulling the render towards it is score
distillation with weight w(t) = sigma / alpha taken out (HiFA, Zhu & Zhuang 2023, equations 7 and 8).

Shape suffixes: B views, C latent channels, h w latent cells, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.errors import PriorError
from lift3d_ray.guidance.ddim import denoised
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.recipes import Conditioning, GuidanceTerm
from lift3d_ray.types import Float32, Int64, LearnedToken, NoiseQuery, PromptBlend, ViewReference


@dataclass(frozen=True, kw_only=True)
class NovelViews:
    """What the prior is told about a step's views.

    Attributes:
        prompts: B view-dependent prompts.
        negative_prompts: B negative prompts.
        azimuth_deg_B: (B,) relative to the photo.
        elevation_deg_B: (B,) above the horizon.
        reference: the photo as a view-conditioned prior takes it.
        disparity_B1HW: (B, 1, H, W) disparity of the renders for depth conditioning, or None.
        learned: the learned tokens that the prompts name.
        blend: what the text prior's prompts are blended with, or None.
    """

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    azimuth_deg_B: Float32
    elevation_deg_B: Float32
    reference: ViewReference | None = None
    disparity_B1HW: Float32 | None = None
    learned: tuple[LearnedToken, ...] = ()
    blend: PromptBlend | None = None


@dataclass(frozen=True, kw_only=True)
class CleanEstimate:
    """The prior's idea of the clean latents.

    Attributes:
        latents_BCHW: (B, C, h, w) float32 x0, mixed over the guidance terms.
        batch_size: latents that shared the pass, largest of the terms.
        seconds: time waited for the prior.
    """

    latents_BCHW: Float32
    batch_size: int
    seconds: float


def ask_prior(
    latents_BCHW: Float32,
    views: NovelViews,
    terms: Sequence[GuidanceTerm],
    prior: NoisePredictor,
    schedule: NoiseSchedule,
    *,
    timesteps_B: Int64,
    noise_BCHW: Float32,
) -> CleanEstimate:
    """Noise the latents, ask every guidance term, and mix the clean estimates by weight.

    Raises:
        PriorError: an answer of the wrong shape or not finite.
    """
    signal, sigma = schedule.signal(timesteps_B), schedule.noise(timesteps_B)
    noisy = np.asarray(signal * latents_BCHW + sigma * noise_BCHW, dtype=np.float32)
    return estimate_clean(noisy, views, terms, prior, schedule, timesteps_B=timesteps_B)


def estimate_clean(
    noisy_BCHW: Float32,
    views: NovelViews,
    terms: Sequence[GuidanceTerm],
    prior: NoisePredictor,
    schedule: NoiseSchedule,
    *,
    timesteps_B: Int64,
) -> CleanEstimate:
    """Ask every guidance term about noisy latents, and mix the clean estimates by weight.

    Raises:
        PriorError: an answer of the wrong shape or not finite.
    """
    signal, sigma = schedule.signal(timesteps_B), schedule.noise(timesteps_B)
    total = sum(term.weight for term in terms)
    mixed = np.zeros_like(noisy_BCHW)
    batch, seconds = 0, 0.0
    for term in terms:
        answer = prior.predict_noise(_query(noisy_BCHW, timesteps_B, views, term))
        if answer.noise_BCHW.shape != noisy_BCHW.shape or not np.isfinite(answer.noise_BCHW).all():
            raise PriorError(
                f"the prior answered with shape {answer.noise_BCHW.shape} or values that are not finite, "
                f"wanted finite noise of shape {noisy_BCHW.shape}: check the bundle"
            )
        mixed += term.weight / total * denoised(noisy_BCHW, answer.noise_BCHW, signal, sigma)
        batch, seconds = max(batch, answer.batch_size), seconds + answer.seconds
    return CleanEstimate(latents_BCHW=mixed, batch_size=batch, seconds=seconds)


def _query(noisy_BCHW: Float32, timesteps_B: Int64, views: NovelViews, term: GuidanceTerm) -> NoiseQuery:
    view, disparity = None, None
    if term.conditioning is Conditioning.VIEW:
        assert views.reference is not None
        view = views.reference.towards(views.azimuth_deg_B, views.elevation_deg_B)
    if term.conditioning is Conditioning.DEPTH:
        disparity = views.disparity_B1HW
    return NoiseQuery(
        noisy_latents_BCHW=noisy_BCHW,
        timesteps_B=timesteps_B,
        guidance_scale=term.scale,
        prompts=views.prompts,
        negative_prompts=views.negative_prompts,
        view=view,
        disparity_B1HW=disparity,
        learned=views.learned if view is None else (),
        # Only the text prior reads prompts.
        blend=views.blend if view is None else None,
    )


def latent_loss(latents_BCHW: Tensor, estimate_BCHW: Tensor) -> Tensor:
    """|| z - x0 ||^2, mean; its gradient is score distillation's up to the weight (DreamFusion, equation 3)."""
    return (latents_BCHW - estimate_BCHW.detach()).square().mean()


def chained_loss(latents_BCHW: Tensor, estimate_BCHW: Tensor, sigma_B: Tensor) -> Tensor:
    """(z - x0)^2 / (2 sigma), mean: its gradient at a latent is -(x0 - z) / sigma, over their number.

    Score Jacobian Chaining's update in its variance-reduced form (Wang et al. 2023; 3DFuse): the score at the noised
    render with the noise's own share taken out. Against ``latent_loss`` estimates from much noise, which are vague,
    count less.

    Args:
        latents_BCHW: rendered, with their graph.
        estimate_BCHW: the prior's clean estimates of them, taken as constants.
        sigma_B: (B,) the noise's deviation where the signal's is left as it is: noise over signal of the schedule.
    """
    return ((latents_BCHW - estimate_BCHW.detach()).square() / (2 * sigma_B.view(-1, 1, 1, 1))).mean()


def image_loss(images_B3HW: Tensor, estimate_B3HW: Tensor) -> Tensor:
    """Mean absolute error between the renders and the decoded clean estimate, a constant."""
    return (images_B3HW - estimate_B3HW.detach()).abs().mean()


def draw_timesteps(
    schedule: NoiseSchedule, low: float, high: float, count: int, generator: torch.Generator
) -> Int64:
    """(count,) timesteps uniform between two fractions of the schedule."""
    fractions = low + (high - low) * torch.rand(count, generator=generator).numpy()
    return np.asarray([schedule.timestep(float(f)) for f in fractions], dtype=np.int64)
