"""One plain class per role, with the model injected: what a Serve replica runs, and what a test can call directly.

A service holds weights and nothing about any picture. It is given a function that loads its model rather than the
model, so that weights are read where the replica lives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lift3d_ray.deployments.batching import NoiseBatcher, PriorStatistics
from lift3d_ray.deployments.gate import Gate
from lift3d_ray.errors import ConfigError
from lift3d_ray.models.roles import (
    Captioner,
    DepthEstimator,
    ImageTextEncoder,
    NoisePredictor,
    Segmenter,
    WordTeacher,
)
from lift3d_ray.types import (
    DenoisingGradient,
    DenoisingQuery,
    Float32,
    MaskProposal,
    NoisePrediction,
    NoiseQuery,
    SegmentQuery,
    UInt8,
    ViewConditioning,
)


class SegmenterService:
    """Serves a ``Segmenter``."""

    def __init__(self, load: Callable[[], Segmenter], gate: Gate | None = None) -> None:
        self._gate = gate or Gate()
        self._model = load()

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """See ``Segmenter``."""
        with self._gate:
            return self._model.segment(query)

    def check_health(self) -> None:
        """Raise if the model broke."""
        self._gate.check()


class CaptionerService:
    """Serves a ``Captioner``."""

    def __init__(self, load: Callable[[], Captioner], gate: Gate | None = None) -> None:
        self._gate = gate or Gate()
        self._model = load()

    def caption(self, rgb_HWC: UInt8) -> str:
        """See ``Captioner``."""
        with self._gate:
            return self._model.caption(rgb_HWC)

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """See ``Captioner``."""
        with self._gate:
            return self._model.sample_captions(rgb_HWC, count, nucleus=nucleus, seed=seed)

    def check_health(self) -> None:
        """Raise if the model broke."""
        self._gate.check()


class DepthService:
    """Serves a ``DepthEstimator``."""

    def __init__(self, load: Callable[[], DepthEstimator], gate: Gate | None = None) -> None:
        self._gate = gate or Gate()
        self._model = load()

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        """See ``DepthEstimator``."""
        with self._gate:
            return self._model.estimate_disparity(rgb_HWC)

    def check_health(self) -> None:
        """Raise if the model broke."""
        self._gate.check()


class ClipService:
    """Serves an ``ImageTextEncoder``."""

    def __init__(self, load: Callable[[], ImageTextEncoder], gate: Gate | None = None) -> None:
        self._gate = gate or Gate()
        self._model = load()

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """See ``ImageTextEncoder``."""
        with self._gate:
            return self._model.encode_images(images_BHWC)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See ``ImageTextEncoder``."""
        with self._gate:
            return self._model.encode_texts(texts)

    def check_health(self) -> None:
        """Raise if the model broke."""
        self._gate.check()


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """How a replica gets each model. Functions, so that they can be sent where the replica will live."""

    segmenter: Callable[[], Segmenter]
    captioner: Callable[[], Captioner]
    depth: Callable[[], DepthEstimator]
    clip: Callable[[], ImageTextEncoder]
    prior: Callable[[], NoisePredictor]


class PerceptionService:
    """The four small roles in one process, one call at a time: right where a process costs more than its models."""

    def __init__(self, load: Loaders) -> None:
        self._gate = Gate()
        self._segmenter = SegmenterService(load.segmenter, self._gate)
        self._captioner = CaptionerService(load.captioner, self._gate)
        self._depth = DepthService(load.depth, self._gate)
        self._clip = ClipService(load.clip, self._gate)

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """See ``Segmenter``."""
        return self._segmenter.segment(query)

    def caption(self, rgb_HWC: UInt8) -> str:
        """See ``Captioner``."""
        return self._captioner.caption(rgb_HWC)

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """See ``Captioner``."""
        return self._captioner.sample_captions(rgb_HWC, count, nucleus=nucleus, seed=seed)

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        """See ``DepthEstimator``."""
        return self._depth.estimate_disparity(rgb_HWC)

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """See ``ImageTextEncoder``."""
        return self._clip.encode_images(images_BHWC)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See ``ImageTextEncoder``."""
        return self._clip.encode_texts(texts)

    def check_health(self) -> None:
        """Raise if a model broke."""
        self._gate.check()


@dataclass(frozen=True, kw_only=True)
class About:
    """What an application serves.

    Attributes:
        bundle_digest: digest of its model bundle.
        roles: name of the deployment that plays each role.
    """

    bundle_digest: str
    roles: dict[str, str]


class NoisePredictorService:
    """Serves a ``NoisePredictor`` to many scenes at once; the root of the application ``models``.

    Args:
        load: loads the model.
        about: what the application serves.
        max_batch_size: queries in one batch at most.
        max_batch_latents: latents in one forward pass at most.
        batch_wait_timeout_s: longest wait for other queries.
        companions: the application's other deployments. Serve deploys what is bound to the root; they are not called.
    """

    def __init__(
        self,
        load: Callable[[], NoisePredictor],
        about: About,
        *,
        max_batch_size: int,
        max_batch_latents: int,
        batch_wait_timeout_s: float,
        companions: Sequence[object] = (),
    ) -> None:
        self._about = about
        self._companions = tuple(companions)
        self._model = load()
        self._batcher = NoiseBatcher(
            self._model.predict_noise,
            max_queries=max_batch_size,
            max_latents=max_batch_latents,
            wait_s=batch_wait_timeout_s,
        )
        self._probe: NoiseQuery | None = None
        self._answered = 0

    async def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """See ``NoisePredictor``; queries of other scenes may share the forward pass."""
        answer = await self._batcher.ask(query)
        if self._probe is None and len(query.noisy_latents_BCHW):
            self._probe = _first_row(query)
        return answer

    async def word_vectors(self, words: str) -> Float32:
        """See ``WordTeacher``."""
        teacher = self._teacher()
        return await self._batcher.alone(lambda: teacher.word_vectors(words))

    async def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
        """See ``WordTeacher``."""
        teacher = self._teacher()
        return await self._batcher.alone(lambda: teacher.denoising_gradient(query))

    def _teacher(self) -> WordTeacher:
        if not isinstance(self._model, WordTeacher):
            raise ConfigError(
                f"{type(self._model).__name__} cannot teach words: use a recipe whose inversion takes no steps"
            )
        return self._model

    async def statistics(self) -> PriorStatistics:
        """What this replica did since it started."""
        return self._batcher.statistics()

    async def about(self) -> About:
        """What the application serves."""
        return self._about

    async def check_health(self) -> None:
        """Ask the model one latent again, unless it has answered something since the last check.

        Raises:
            RuntimeError: the answer is not finite.
        """
        answered = self._batcher.statistics().queries
        idle, self._answered = answered == self._answered, answered
        if not idle or self._probe is None:
            return
        answer = await self._batcher.ask(self._probe)
        self._answered += 1
        if not np.isfinite(answer.noise_BCHW).all():
            raise RuntimeError("the prior answered a finite query with values that are not finite")


def _first_row(query: NoiseQuery) -> NoiseQuery:
    view = query.view
    if view is not None:
        view = ViewConditioning(
            reference_latents_BCHW=view.reference_latents_BCHW[:1],
            azimuth_deg_B=view.azimuth_deg_B[:1],
            elevation_deg_B=view.elevation_deg_B[:1],
            image_tokens_BTD=None if view.image_tokens_BTD is None else view.image_tokens_BTD[:1],
        )
    return replace(
        query,
        noisy_latents_BCHW=query.noisy_latents_BCHW[:1],
        timesteps_B=query.timesteps_B[:1],
        prompts=query.prompts[:1],
        negative_prompts=query.negative_prompts[:1],
        view=view,
        disparity_B1HW=None if query.disparity_B1HW is None else query.disparity_B1HW[:1],
    )
