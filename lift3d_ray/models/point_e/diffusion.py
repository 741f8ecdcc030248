"""The noise of Point-E's networks: schedules, scales of the channels, and the losses that teach them.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps, a_t the cumulative signal power (Ho et al. 2020). The networks predict eps, and
in as many channels more where the log variance of the step before lies between its two bounds (Nichol and Dhariwal
2021, section 3.1).

Shape suffixes: T timesteps, B clouds, C channels, N points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.point_e.transformer import CHANNELS

Float64 = NDArray[np.float64]
_LARGEST_BETA = 0.999


class Betas(StrEnum):
    """Published schedules: of the base networks, and of the upsampler."""

    COSINE = "cosine"
    LINEAR = "linear"


@dataclass(frozen=True, kw_only=True)
class PointDiffusion:
    """A schedule and the scales of the channels; the defaults are those of the published base networks.

    Attributes:
        betas: which schedule.
        timesteps: T.
        channel_scales: a network sees ``x * scale + bias`` of every channel x, y, z, red, green, blue.
        channel_biases: see above.
    """

    betas: Betas = Betas.COSINE
    timesteps: int = 1024
    channel_scales: tuple[float, ...] = (2.0, 2.0, 2.0, *(0.007843137255,) * 3)
    channel_biases: tuple[float, ...] = (0.0, 0.0, 0.0, -1.0, -1.0, -1.0)

    def __post_init__(self) -> None:
        if self.timesteps < 2:
            raise ConfigError(f"a diffusion needs at least 2 timesteps, got {self.timesteps}")
        if not len(self.channel_scales) == len(self.channel_biases) == CHANNELS or min(self.channel_scales) <= 0:
            raise ConfigError(f"a diffusion needs {CHANNELS} positive scales and {CHANNELS} biases, got {self}")

    @cached_property
    def betas_T(self) -> Float64:
        """(T,) share of the power that every step exchanges for noise."""
        return cosine_betas(self.timesteps) if self.betas is Betas.COSINE else linear_betas(self.timesteps)

    @cached_property
    def signal_T(self) -> Float64:
        """(T,) a_t, falling."""
        return np.asarray(np.cumprod(1 - self.betas_T), dtype=np.float64)

    @cached_property
    def sigmas_T(self) -> Float64:
        """(T,) noise over signal, rising: Karras's sigma of every timestep."""
        return np.asarray(np.sqrt((1 - self.signal_T) / self.signal_T), dtype=np.float64)

    def timestep(self, sigma: float) -> float:
        """Where in the schedule noise over signal is ``sigma``, between steps too; the ends beyond them."""
        return float(np.interp(-1 / (1 + sigma**2), -self.signal_T, np.arange(self.timesteps)))

    def to_model(self, cloud_BCN: Tensor) -> Tensor:
        """Clouds as the network sees them, about [-1, 1]."""
        return cloud_BCN * self._column(self.channel_scales, cloud_BCN) + self._column(self.channel_biases, cloud_BCN)

    def from_model(self, x_BCN: Tensor) -> Tensor:
        """The inverse of ``to_model``."""
        return (x_BCN - self._column(self.channel_biases, x_BCN)) / self._column(self.channel_scales, x_BCN)

    @staticmethod
    def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]

    def add_noise(self, x0_BCN: Tensor, timesteps_B: Tensor, noise_BCN: Tensor) -> Tensor:
        """x_t of scaled clouds at whole timesteps."""
        signal = _at(self.signal_T, timesteps_B)
        return signal.sqrt() * x0_BCN + (1 - signal).sqrt() * noise_BCN

    def losses(
        self, output_B2CN: Tensor, x0_BCN: Tensor, x_BCN: Tensor, timesteps_B: Tensor, noise_BCN: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What a network's answer costs.

        Args:
            output_B2CN: (B, 2C, N) the answer to ``x_BCN``.
            x0_BCN: (B, C, N) scaled clouds.
            x_BCN: the same with noise, as of ``add_noise``.
            timesteps_B: (B,) whole timesteps.
            noise_BCN: the noise in them.

        Returns:
            (B,) mean squared error of the noise, and (B,) the variational bound in bits a number, whose gradient
            reaches the variance alone.
        """
        noise_pred, share = output_B2CN.float().chunk(2, dim=1)
        error_B = (noise_pred - noise_BCN).square().mean((1, 2))
        return error_B, self._bound(noise_pred.detach(), share, x0_BCN, x_BCN, timesteps_B)

    def _bound(
        self, noise_pred: Tensor, share: Tensor, x0_BCN: Tensor, x_BCN: Tensor, timesteps_B: Tensor
    ) -> Tensor:
        before_T = np.append(1.0, self.signal_T[:-1])
        variance_T = self.betas_T * (1 - before_T) / (1 - self.signal_T)
        # The first step's is 0; its neighbour's stands in, as published.
        low = _at(np.log(np.append(variance_T[1], variance_T[1:])), timesteps_B)
        high = _at(np.log(self.betas_T), timesteps_B)
        log_variance = low + (share + 1) / 2 * (high - low)
        # Both means weigh x_t alike, so they differ by their weight of x_0 times the two guesses' difference.
        weight = _at(self.betas_T * np.sqrt(before_T) / (1 - self.signal_T), timesteps_B)
        signal = _at(self.signal_T, timesteps_B)
        guessed = (x_BCN - (1 - signal).sqrt() * noise_pred) / signal.sqrt()
        off = (weight * (guessed - x0_BCN)).square()
        divergence = 0.5 * (log_variance - low - 1 + (low - log_variance).exp() + off * (-log_variance).exp())
        likelihood = 0.5 * (math.log(2 * math.pi) + log_variance + off * (-log_variance).exp())
        nats = torch.where(timesteps_B[:, None, None] == 0, likelihood, divergence)
        return nats.mean((1, 2)) / math.log(2)


def cosine_betas(timesteps: int) -> Float64:
    """The cosine schedule (Nichol and Dhariwal 2021, equation 17), (T,)."""
    ends = np.arange(timesteps + 1) / timesteps
    signal = np.cos((ends + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.asarray(np.minimum(1 - signal[1:] / signal[:-1], _LARGEST_BETA), dtype=np.float64)


def linear_betas(timesteps: int) -> Float64:
    """The linear schedule (Ho et al. 2020) with the same signal left at its end for any number of steps, (T,)."""
    scale = 1000 / timesteps
    return np.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=np.float64)


def _at(values_T: Float64, timesteps_B: Tensor) -> Tensor:
    """(B, 1, 1) float32 of a schedule's values."""
    return torch.from_numpy(values_T).to(timesteps_B.device)[timesteps_B].float()[:, None, None]
