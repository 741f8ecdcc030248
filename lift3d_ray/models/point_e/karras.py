"""Drawing from a denoiser: Heun's method over Karras's noise levels, with guidance (Karras et al. 2022, algorithm 2).

A denoiser is a function of clouds x = x_0 + sigma eps and of sigma that answers x_0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.point_e.diffusion import PointDiffusion
from lift3d_ray.models.point_e.transformer import PointTransformer

Denoiser = Callable[[Tensor, float], Tensor]
_LARGEST_CHURN = math.sqrt(2) - 1


@dataclass(frozen=True, kw_only=True)
class KarrasConfig:
    """How clouds are drawn; the defaults are those of the published base networks.

    Attributes:
        steps: noise levels.
        sigma_min: the lowest, before 0.
        sigma_max: the highest; 160 for the published upsampler.
        rho: how much denser the low levels lie.
        churn: noise added anew, over all steps; 0 for the published upsampler.
        guidance_scale: s in ``u + s (c - u)`` of the clean guesses; 1 = the condition alone, 0 = none.
    """

    steps: int = 64
    sigma_min: float = 1e-3
    sigma_max: float = 120.0
    rho: float = 7.0
    churn: float = 3.0
    guidance_scale: float = 3.0

    def __post_init__(self) -> None:
        if self.steps < 2 or not 0 < self.sigma_min < self.sigma_max or self.rho <= 0:
            raise ConfigError(f"a sampler needs steps >= 2, 0 < sigma_min < sigma_max and rho > 0, got {self}")
        if self.churn < 0 or self.guidance_scale < 0:
            raise ConfigError(f"churn and guidance_scale must be >= 0, got {self}")


def noise_levels(config: KarrasConfig) -> list[float]:
    """``steps`` falling noise levels (equation 5), and 0."""
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    last = config.steps - 1
    return [(high + k / last * (low - high)) ** config.rho for k in range(config.steps)] + [0.0]


def denoiser_of(
    network: PointTransformer,
    diffusion: PointDiffusion,
    *,
    guidance_scale: float,
    condition_BTD: Tensor | None = None,
    low_res_BCM: Tensor | None = None,
) -> Denoiser:
    """The guided denoiser of a network that predicts noise.

    The clean guesses are kept in [-1, 1], where the data is, and guided afterwards, as published. Both guesses of an
    upsampler know the points it starts from: only the picture was left out in training.

    Args:
        network: predicts the noise.
        diffusion: what it was trained with.
        guidance_scale: as of ``KarrasConfig``.
        condition_BTD: (B, T, D) picture tokens, or None where the network takes none.
        low_res_BCM: (B, 6, M) an upsampler's points.
    """

    def clean(x_BCN: Tensor, sigma: float, condition: Tensor | None, low_res: Tensor | None) -> Tensor:
        timesteps_B = x_BCN.new_full((len(x_BCN),), diffusion.timestep(sigma))
        output = network(x_BCN / math.sqrt(1 + sigma**2), timesteps_B, condition, low_res)
        guess: Tensor = x_BCN - sigma * output[:, : x_BCN.shape[1]]
        return guess.clamp(-1, 1)

    if condition_BTD is None or guidance_scale == 0:
        return lambda x, sigma: clean(x, sigma, None, low_res_BCM)
    if guidance_scale == 1:
        return lambda x, sigma: clean(x, sigma, condition_BTD, low_res_BCM)
    both = torch.cat([condition_BTD, torch.zeros_like(condition_BTD)])
    low_res_twice = None if low_res_BCM is None else torch.cat([low_res_BCM, low_res_BCM])

    def guided(x_BCN: Tensor, sigma: float) -> Tensor:
        told, untold = clean(torch.cat([x_BCN, x_BCN]), sigma, both, low_res_twice).chunk(2)
        return untold + guidance_scale * (told - untold)

    return guided


@torch.no_grad()
def draw(denoise: Denoiser, noise_BCN: Tensor, config: KarrasConfig, generator: torch.Generator) -> Tensor:
    """Clean clouds, scaled as the network sees them.

    Args:
        denoise: as of ``denoiser_of``.
        noise_BCN: (B, C, N) standard normal, on the network's device.
        config: levels and churn.
        generator: of the churn's noise, on the CPU, so that every device draws the same.
    """
    levels = noise_levels(config)
    churned = min(config.churn / config.steps, _LARGEST_CHURN)
    x = noise_BCN * levels[0]
    for level, below in pairwise(levels):
        raised = level * (1 + churned)
        if churned > 0:
            fresh = torch.randn(x.shape, generator=generator).to(x)
            x = x + math.sqrt(raised**2 - level**2) * fresh
        slope = (x - denoise(x, raised)) / raised
        ahead = x + (below - raised) * slope
        if below > 0:
            slope = (slope + (ahead - denoise(ahead, below)) / below) / 2
            ahead = x + (below - raised) * slope
        x = ahead
    return x
