"""Deterministic sampling (DDIM, Song et al. 2021, equation 12 with eta = 0) through a ``NoisePredictor``.

Shape suffixes: B latents, C channels, h w cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.types import Float32, Int64, NoiseQuery

_LATENT_BOUND = 5.0


def denoised(noisy_BCHW: Float32, noise_BCHW: Float32, signal: Float32, sigma: Float32) -> Float32:
    """The clean estimate x0 = (z_t - sigma eps) / alpha, bounded to the range that unit-variance latents have."""
    estimate = (noisy_BCHW - sigma * noise_BCHW) / signal
    return np.asarray(np.clip(estimate, -_LATENT_BOUND, _LATENT_BOUND), dtype=np.float32)


def sample_ddim(
    prior: NoisePredictor, schedule: NoiseSchedule, query: NoiseQuery, *, steps: int, start: float = 0.98
) -> Float32:
    """Denoise the query's latents, taken as pure noise, to clean ones.

    Args:
        prior: answers the noise predictions.
        schedule: its training schedule.
        query: conditioning and initial Gaussian noise in ``noisy_latents_BCHW``; its timesteps are ignored.
        steps: predictions to make.
        start: fraction of the schedule to start from.

    Returns:
        (B, C, h, w) float32 clean latents.
    """

    def estimate(noisy_BCHW: Float32, timesteps_B: Int64) -> Float32:
        answer = prior.predict_noise(replace(query, noisy_latents_BCHW=noisy_BCHW, timesteps_B=timesteps_B))
        return denoised(noisy_BCHW, answer.noise_BCHW, schedule.signal(timesteps_B), schedule.noise(timesteps_B))

    return descend(estimate, schedule, query.noisy_latents_BCHW, steps=steps, start=start)


def descend(
    estimate: Callable[[Float32, Int64], Float32],
    schedule: NoiseSchedule,
    noise_BCHW: Float32,
    *,
    steps: int,
    start: float = 0.98,
) -> Float32:
    """The sampler itself, over anything that guesses clean latents.

    Args:
        estimate: from noisy latents (B, C, h, w) and timesteps (B,) to clean latents.
        schedule: the training schedule.
        noise_BCHW: Gaussian noise to begin with.
        steps: estimates to make.
        start: fraction of the schedule to start from.

    Returns:
        (B, C, h, w) float32 clean latents.
    """
    latents = clean = noise_BCHW
    for now, then in pairwise(np.linspace(start, 0.0, steps + 1)):
        at = np.full(len(latents), schedule.timestep(float(now)), dtype=np.int64)
        to = np.full(len(latents), schedule.timestep(float(then)), dtype=np.int64)
        clean = estimate(latents, at)
        implied = (latents - schedule.signal(at) * clean) / schedule.noise(at)
        latents = np.asarray(schedule.signal(to) * clean + schedule.noise(to) * implied, dtype=np.float32)
    return clean
