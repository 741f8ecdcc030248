"""Pictures from words: which is chosen, what is asked, and that the same seed draws the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError, PriorError
from lift3d_ray.guidance.drawing import DrawingConfig, draw_photo
from lift3d_ray.types import Float32, NoisePrediction, NoiseQuery, Photo, UInt8
from tests.scenes import SCHEDULE, SIZE, PixelCodec

CODEC = cast(Any, PixelCodec())


@dataclass
class Painter:
    """A prior that paints each picture in one grey, the nearest to the mean of the noise that it began with."""

    broken: bool = False
    asked: list[NoiseQuery] = field(default_factory=list)

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        if not self.asked:
            self.greys = np.tanh(20 * query.noisy_latents_BCHW.mean(axis=(1, 2, 3), keepdims=True))
        self.asked.append(query)
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * self.greys) / np.maximum(sigma, 1e-3)
        if self.broken:
            noise = noise * np.nan
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32))


class LikesDark:
    """An encoder to which dark pictures agree with every word."""

    def __init__(self) -> None:
        self.shown: UInt8 = np.zeros((0, 1, 1, 3), np.uint8)
        self.read: list[str] = []

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        self.shown = images_BHWC
        angle = images_BHWC.reshape(len(images_BHWC), -1).mean(1) / 255 * np.pi / 2
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.read = list(texts)
        return np.array([[1, 0]] * len(texts), dtype=np.float32)


def drawn(prior: Painter, encoder: LikesDark, *, seed: int = 0, prompt: str = "a red mug") -> Photo:
    config = DrawingConfig(draws=5, steps=4, size_px=64)
    generator = torch.Generator().manual_seed(seed)
    return draw_photo(prompt, prior, encoder, CODEC, SCHEDULE, digest="d", generator=generator, config=config)


def test_the_drawing_that_agrees_best_is_taken_and_enlarged() -> None:
    prior, encoder = Painter(), LikesDark()
    photo = drawn(prior, encoder)
    means = encoder.shown.reshape(5, -1).mean(1)
    assert means.max() - means.min() > 20
    assert photo.rgb_HWC.mean() == pytest.approx(means.min())
    assert photo.rgb_HWC.shape == (64, 64, 3)
    assert photo.rgb_HWC.dtype == np.uint8
    assert (photo.drawn, photo.name, photo.digest, photo.alpha_HW) == (True, "a red mug", "d", None)


def test_the_text_prior_is_asked_for_the_front() -> None:
    prior, encoder = Painter(), LikesDark()
    drawn(prior, encoder)
    assert len(prior.asked) == 4
    for query in prior.asked:
        assert query.view is None
        assert query.prompts == ("a red mug, front view",) * 5
        assert query.guidance_scale == DrawingConfig().scale
    assert prior.asked[0].noisy_latents_BCHW.shape == (5, 3, SIZE, SIZE)
    assert encoder.read == ["a red mug, front view"]


def test_the_same_seed_draws_the_same_picture_and_another_draws_another() -> None:
    one, two, other = (drawn(Painter(), LikesDark(), seed=seed).rgb_HWC for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="says nothing to draw"):
        drawn(Painter(), LikesDark(), prompt="  ")
    with pytest.raises(PriorError, match="not finite for 'a red mug, front view'"):
        drawn(Painter(broken=True), LikesDark())
    with pytest.raises(ConfigError, match="draws, steps"):
        DrawingConfig(draws=0)
