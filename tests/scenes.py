"""Scenes whose answers are known: a toy, its photo, and a prior that knows the toy by heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.cameras import CANONICAL, Framing, orbit_c2w
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.toybox import Split, ToyObject, caption, render, sample_object
from lift3d_ray.toybox.training.views import disparity_image, frame_subject
from lift3d_ray.types import CropMap, Float32, NoisePrediction, NoiseQuery, Perception, Subject

SIZE = 32

SCHEDULE = NoiseSchedule(
    alphas_cumprod_T=np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).astype(np.float32),
    prediction_type="epsilon",
)


class PixelCodec:
    """A codec whose latents are the pixels themselves, in [-1, 1]."""

    image_size = SIZE
    device = torch.device("cpu")

    def encode(self, images_B3HW: Tensor) -> Tensor:
        """Pixels in [0, 1] to [-1, 1]."""
        return images_B3HW * 2 - 1

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """And back."""
        return ((latents_BCHW + 1) / 2).clamp(0, 1)


@dataclass(frozen=True)
class ToyPrior:
    """A prior that has seen the toy from everywhere: its clean estimate is the true picture of the asked view."""

    toy: ToyObject
    photo_azimuth_deg: float

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from the true picture to the query."""
        assert query.view is not None
        cameras = orbit_c2w(self.photo_azimuth_deg + query.view.azimuth_deg_B, query.view.elevation_deg_B)
        pictures = render(self.toy, cameras, size=SIZE).rgb.transpose(0, 3, 1, 2) * 2 - 1
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * pictures) / np.maximum(sigma, 1e-3)
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32), batch_size=len(cameras))


def toy_perception(
    class_name: str, *, azimuth_deg: float = 20.0, elevation_deg: float = 20.0, seed: int = 3
) -> tuple[ToyObject, Perception, Framing]:
    """A toy, what perfect models would see in its photo, and how that photo is framed."""
    toy = sample_object(seed, split=Split.TRAIN, class_name=class_name)
    camera = orbit_c2w(azimuth_deg, elevation_deg)
    framing = frame_subject(toy, camera[0], 0.8)
    shot = render(toy, camera, size=128, framing=framing)
    subject = Subject(
        rgb_HWC=np.asarray(np.round(shot.rgb[0] * 255), dtype=np.uint8),
        alpha_HW=shot.alpha[0],
        crop=CropMap(x0_px=0, y0_px=0, side_px=128, size_px=128),
        score=1.0,
    )
    disparity: Float32 = disparity_image(shot.depth)[0].astype(np.float32) / 255
    words = caption(toy, azimuth_deg, elevation_deg)
    return toy, Perception(subject=subject, caption=words, disparity_HW=disparity), framing


__all__ = ["CANONICAL", "SCHEDULE", "SIZE", "PixelCodec", "ToyPrior", "toy_perception"]
