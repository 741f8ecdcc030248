"""Deterministic sampling (DDIM, Song et al. 2021, equation 12 with eta = 0) through a ``NoisePredictor``.

Shape suffixes: B latents, C channels, h w cells.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.types import Float32, NoiseQuery

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
    latents = query.noisy_latents_BCHW
    fractions = np.linspace(start, 0.0, steps + 1)
    clean = latents
    for now, then in pairwise(fractions):
        at = np.full(len(latents), schedule.timestep(float(now)), dtype=np.int64)
        to = np.full(len(latents), schedule.timestep(float(then)), dtype=np.int64)
        noise = prior.predict_noise(replace(query, noisy_latents_BCHW=latents, timesteps_B=at)).noise_BCHW
        clean = denoised(latents, noise, schedule.signal(at), schedule.noise(at))
        implied = (latents - schedule.signal(at) * clean) / schedule.noise(at)
        latents = np.asarray(schedule.signal(to) * clean + schedule.noise(to) * implied, dtype=np.float32)
    return clean
