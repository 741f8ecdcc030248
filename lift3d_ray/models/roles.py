"""The roles that models play, each one narrow protocol, met in-process and through a Serve handle alike.

Values in, values out; nothing about a picture is kept between calls, so calls of different scenes never mix and may
be batched, retried or sent to any replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lift3d_ray.types import (
    ColoredPoints,
    DenoisingGradient,
    DenoisingQuery,
    Float32,
    MaskProposal,
    NoisePrediction,
    NoiseQuery,
    SegmentQuery,
    UInt8,
)


class Segmenter(Protocol):
    """Cuts things out of pictures (SAM: Kirillov et al. 2023)."""

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """Proposals, best first; empty where nothing was found.

        With points or a box: the answer to that prompt. Without: the main subject first, other objects after it.
        """
        ...


class Captioner(Protocol):
    """Describes pictures in words (BLIP: Li et al. 2022)."""

    def caption(self, rgb_HWC: UInt8) -> str:
        """One lower-case sentence without a full stop for a (H, W, 3) uint8 picture."""
        ...

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """Other sentences about it, drawn by nucleus sampling: the same seed, the same sentences.

        Args:
            rgb_HWC: (H, W, 3) uint8 picture.
            count: sentences to draw; they may repeat.
            nucleus: probability mass that words are drawn from.
            seed: of the draws.
        """
        ...


class DepthEstimator(Protocol):
    """Estimates relative depth (DPT: Ranftl et al. 2021)."""

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        """(H, W) float32 relative inverse depth at the picture's size: larger = nearer, unknown scale and shift."""
        ...


class ImageTextEncoder(Protocol):
    """Embeds pictures and sentences in one space (CLIP: Radford et al. 2021)."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """(B, D) float32 unit vectors of (B, H, W, 3) uint8 pictures."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """(B, D) float32 unit vectors of B sentences."""
        ...


class NoisePredictor(Protocol):
    """Predicts the noise in noised latents under a conditioning, with classifier-free guidance."""

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The guided noise prediction for every latent of the query."""
        ...


@runtime_checkable
class WordTeacher(Protocol):
    """A prior that words can be learnt from (textual inversion: Gal et al. 2022).

    It gives gradients and keeps nothing: whoever learns a word owns the optimiser and its state.
    """

    def word_vectors(self, words: str) -> Float32:
        """(T, D) float32 input embeddings of words of the dictionary: where learning starts."""
        ...

    def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
        """The losses of a query's rows, and what they say about its learned tokens."""
        ...


class PointCloudGuesser(Protocol):
    """Guesses a subject's surface from one picture (Point-E: Nichol et al. 2022)."""

    def guess_points(self, rgb_HWC: UInt8, *, seed: int) -> ColoredPoints:
        """The coloured surface points of the subject of an (S, S, 3) uint8 crop over white; a seed, a cloud."""
        ...


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models a lift calls, wherever they live: in this process, or behind Serve handles."""

    segmenter: Segmenter
    captioner: Captioner
    depth: DepthEstimator
    clip: ImageTextEncoder
    prior: NoisePredictor
