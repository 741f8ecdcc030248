"""The noise schedule that a prior was trained on, as plain numbers.

z_t = alpha_t z_0 + sigma_t eps with alpha_t^2 = the cumulative signal power and alpha_t^2 + sigma_t^2 = 1 (DDPM, Ho et
al. 2020). The caller of a prior owns the schedule, because it owns the noise.

Shape suffixes: T training timesteps, B latents, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lift3d_ray.models.files import read_config
from lift3d_ray.types import Float32, Int64


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """Signal and noise of every training timestep.

    Attributes:
        alphas_cumprod_T: (T,) float32 signal power alpha_t^2, decreasing.
        prediction_type: what the networks were trained to predict: ``epsilon`` or ``v_prediction``.
    """

    alphas_cumprod_T: Float32
    prediction_type: str

    def __len__(self) -> int:
        return len(self.alphas_cumprod_T)

    def timestep(self, fraction: float) -> int:
        """The timestep at this fraction of the schedule, 0 = clean, 1 = noisiest."""
        return int(np.clip(round(fraction * len(self)), 0, len(self) - 1))

    def signal(self, timesteps_B: Int64) -> Float32:
        """alpha_t, shaped (B, 1, 1, 1)."""
        return np.asarray(np.sqrt(self.alphas_cumprod_T[timesteps_B]), dtype=np.float32)[:, None, None, None]

    def noise(self, timesteps_B: Int64) -> Float32:
        """sigma_t, shaped (B, 1, 1, 1)."""
        return np.asarray(np.sqrt(1 - self.alphas_cumprod_T[timesteps_B]), dtype=np.float32)[:, None, None, None]


def load_schedule(folder: Path) -> NoiseSchedule:
    """The schedule of a diffusers scheduler folder (any class that DDIM's configuration covers).

    Raises:
        BundleError: the configuration is missing or unreadable.
    """
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(read_config(folder, "scheduler_config.json"))
    return NoiseSchedule(
        alphas_cumprod_T=scheduler.alphas_cumprod.numpy().astype(np.float32),
        prediction_type=str(scheduler.config["prediction_type"]),
    )
