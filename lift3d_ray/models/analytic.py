"""Models whose answers are known in closed form: for tests, rehearsals of a cluster, and documentation.

``AnalyticPrior`` believes that pictures are drawn from one known Gaussian, so the noise prediction that a perfectly
trained network would give is a formula. The other roles look at colours only. No weights, no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.types import (
    DenoisingGradient,
    DenoisingQuery,
    Float32,
    LearnedToken,
    MaskProposal,
    NoisePrediction,
    NoiseQuery,
    SegmentQuery,
    UInt8,
)

TIMESTEPS = 1000
_EMBEDDING_WIDTH = 32


def scaled_linear_alphas_cumprod(steps: int = TIMESTEPS) -> Float32:
    """(steps,) cumulative signal power of Stable Diffusion's schedule (beta from 0.00085 to 0.012, scaled linear)."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, steps) ** 2
    return np.cumprod(1 - betas).astype(np.float32)


class AnalyticPrior:
    """Both doors of a prior for data distributed as N(mean, spread^2 I) in latent space; spread 0 is a point mass.

    It is a ``NoisePredictor`` and a ``WordTeacher``.

    With z = sqrt(a) x + sqrt(1 - a) eps, the posterior mean of the noise is
    sqrt(1 - a) (z - sqrt(a) mean) / (a spread^2 + 1 - a). The unconditional branch believes in N(0, I), whose answer is
    sqrt(1 - a) z. A view-conditioned query takes its own reference latents for the mean. What a word says is its mean:
    the vector of a learned token is one, flattened, so it can be learnt by the formula's derivative.

    Args:
        mean_CHW: (C, h, w) float32 latents that data gathers around.
        spread: standard deviation of the data, >= 0.
        means_by_prompt: other means for certain prompts.
        seconds_per_pass: pretended time of a forward pass.
    """

    def __init__(
        self,
        mean_CHW: Float32,
        *,
        spread: float = 0.0,
        means_by_prompt: Mapping[str, Float32] | None = None,
        seconds_per_pass: float = 0.0,
    ) -> None:
        if mean_CHW.ndim != 3 or spread < 0:
            raise ConfigError(f"mean must be (C, h, w) and spread >= 0, got {mean_CHW.shape} and {spread}")
        self._mean = mean_CHW.astype(np.float32)
        self._spread = spread
        self._means = dict(means_by_prompt or {})
        self._seconds_per_pass = seconds_per_pass
        self._signal = scaled_linear_alphas_cumprod()

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """See ``NoisePredictor``.

        Raises:
            ValueError: latents of another shape, or timesteps outside the schedule.
        """
        started = time.perf_counter()
        noisy = query.noisy_latents_BCHW
        if noisy.shape[1:] != self._mean.shape:
            raise ValueError(f"the prior takes latents (B, {', '.join(map(str, self._mean.shape))}), got {noisy.shape}")
        if query.timesteps_B.min() < 0 or query.timesteps_B.max() >= TIMESTEPS:
            raise ValueError(f"timesteps must lie in [0, {TIMESTEPS}), got {query.timesteps_B.tolist()}")
        signal = self._signal[query.timesteps_B][:, None, None, None]
        mean = self._mean_of(query)
        conditional = np.sqrt(1 - signal) * (noisy - np.sqrt(signal) * mean) / (signal * self._spread**2 + 1 - signal)
        unconditional = np.sqrt(1 - signal) * noisy
        noise = unconditional + query.guidance_scale * (conditional - unconditional)
        if self._seconds_per_pass:
            time.sleep(self._seconds_per_pass)
        return NoisePrediction(
            noise_BCHW=noise.astype(np.float32), batch_size=len(noisy), seconds=time.perf_counter() - started
        )

    def word_vectors(self, words: str) -> Float32:
        """See ``WordTeacher``: one vector, the mean of what the words describe."""
        return np.array(self._means.get(words, self._mean).reshape(1, -1))

    def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
        """See ``WordTeacher``; the loss is that of the noise."""
        signal = self._signal[query.timesteps_B][:, None, None, None]
        noisy = np.sqrt(signal) * query.latents_BCHW + np.sqrt(1 - signal) * query.noise_BCHW
        slope = np.sqrt(1 - signal) / (signal * self._spread**2 + 1 - signal)
        mean = np.stack([self._said(prompt, query.learned) for prompt in query.prompts])
        error = slope * (noisy - np.sqrt(signal) * mean) - query.noise_BCHW
        by_mean = -2 * slope * np.sqrt(signal) * error / error[0].size
        gradients = [
            by_mean[[token.word in prompt for prompt in query.prompts]].sum(axis=0).reshape(1, -1)
            for token in query.learned
        ]
        return DenoisingGradient(
            losses_B=np.square(error).mean(axis=(1, 2, 3)).astype(np.float32),
            gradients_TD=tuple(gradient.astype(np.float32) for gradient in gradients),
        )

    def _mean_of(self, query: NoiseQuery) -> Float32:
        """(B, C, h, w) mean of every row's data."""
        if query.view is not None:
            return query.view.reference_latents_BCHW
        return np.stack([self._said(prompt, query.learned) for prompt in query.prompts])

    def _said(self, prompt: str, learned: Sequence[LearnedToken]) -> Float32:
        """(C, h, w) mean of what a prompt describes."""
        for token in learned:
            if token.word in prompt:
                return token.vectors_TD.reshape(self._mean.shape)
        return self._means.get(prompt, self._mean)


class ColorSegmenter:
    """``Segmenter`` that takes for the subject whatever differs from the picture's border colour."""

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """See ``Segmenter``; points and box are ignored."""
        rgb = query.rgb_HWC.astype(np.float32)
        border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
        mask = np.abs(rgb - np.median(border, axis=0)).max(axis=-1) > 24
        return [MaskProposal(mask_HW=mask, score=1.0)] if mask.any() else []


class ColorCaptioner:
    """``Captioner`` that names the strongest colour channel."""

    def caption(self, rgb_HWC: UInt8) -> str:
        """See ``Captioner``."""
        return f"a {('red', 'green', 'blue')[int(np.argmax(rgb_HWC.mean(axis=(0, 1))))]} thing"

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """See ``Captioner``; there is nothing else to be said."""
        return [self.caption(rgb_HWC)] * count


class DomeDepth:
    """``DepthEstimator`` that sees a dome: nearest in the middle."""

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        """See ``DepthEstimator``."""
        height, width = rgb_HWC.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        return np.asarray(np.sqrt(np.clip(1 - (x**2 + y**2) / 2, 0, None)), dtype=np.float32)


class DigestEncoder:
    """``ImageTextEncoder`` whose vectors are digests: equal inputs agree, different ones are unrelated."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """See ``ImageTextEncoder``."""
        return np.stack([_unit_vector(image.tobytes()) for image in images_BHWC])

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See ``ImageTextEncoder``."""
        return np.stack([_unit_vector(text.encode()) for text in texts])


def _unit_vector(data: bytes) -> Float32:
    seed = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(_EMBEDDING_WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
