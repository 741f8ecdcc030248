"""The roles, played by Serve deployments: the same protocols as in this process, over handles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from lift3d_ray.deployments.app import APP_NAME, PRIOR
from lift3d_ray.deployments.batching import PriorStatistics
from lift3d_ray.deployments.failures import ask
from lift3d_ray.deployments.services import About
from lift3d_ray.errors import ClusterError
from lift3d_ray.models.roles import Models
from lift3d_ray.types import (
    DenoisingGradient,
    DenoisingQuery,
    Float32,
    MaskProposal,
    NoisePrediction,
    NoiseQuery,
    SegmentQuery,
    UInt8,
)

_Scalar = TypeVar("_Scalar", bound=np.generic)

TIMEOUT_S = 600.0
"""Longest wait for one answer, queueing and a replica's start included."""

DIRECT_LIMIT_BYTES = 2 << 20
"""Larger noise queries travel through the object store, smaller ones in the message itself, which is quicker."""


class _Remote:
    """A deployment, called method by method through the object store."""

    def __init__(self, handle: DeploymentHandle[Any], *, timeout_s: float = TIMEOUT_S) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    def _ask(
        self, method: str, *values: Any, first: DeploymentHandle[Any] | None = None, **settings: float
    ) -> Any:
        """Ask by this handle, or by another first and by this one if that fails."""
        ways = iter([first] if first is not None else [])
        return ask(
            lambda: getattr(next(ways, self._handle), method).remote(*values, **settings),
            timeout_s=self._timeout_s,
            what=f"{self._handle.deployment_name}.{method}",
        )


class RemoteSegmenter(_Remote):
    """``Segmenter`` behind a handle."""

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """See ``Segmenter``."""
        found: list[MaskProposal] = self._ask("segment", query)
        return [MaskProposal(mask_HW=_owned(item.mask_HW), score=item.score) for item in found]


class RemoteCaptioner(_Remote):
    """``Captioner`` behind a handle."""

    def caption(self, rgb_HWC: UInt8) -> str:
        """See ``Captioner``."""
        return str(self._ask("caption", rgb_HWC))

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """See ``Captioner``."""
        said: list[str] = self._ask("sample_captions", rgb_HWC, count, nucleus=nucleus, seed=seed)
        return said


class RemoteDepth(_Remote):
    """``DepthEstimator`` behind a handle."""

    def estimate_disparity(self, rgb_HWC: UInt8) -> Float32:
        """See ``DepthEstimator``."""
        disparity: Float32 = self._ask("estimate_disparity", rgb_HWC)
        return _owned(disparity)


class RemoteClip(_Remote):
    """``ImageTextEncoder`` behind a handle."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """See ``ImageTextEncoder``."""
        vectors: Float32 = self._ask("encode_images", images_BHWC)
        return _owned(vectors)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See ``ImageTextEncoder``."""
        vectors: Float32 = self._ask("encode_texts", list(texts))
        return _owned(vectors)


class RemotePrior(_Remote):
    """``NoisePredictor`` and ``WordTeacher`` behind a handle."""

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """See ``NoisePredictor``."""
        # The others are asked once a scene; this one hundreds of times, so its transport is chosen by size.
        direct = self._handle.options(_by_reference=False) if _query_bytes(query) <= DIRECT_LIMIT_BYTES else None
        answer: NoisePrediction = self._ask("predict_noise", query, first=direct)
        return replace(answer, noise_BCHW=_owned(answer.noise_BCHW))

    def word_vectors(self, words: str) -> Float32:
        """See ``WordTeacher``."""
        vectors: Float32 = self._ask("word_vectors", words)
        return _owned(vectors)

    def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
        """See ``WordTeacher``."""
        answer: DenoisingGradient = self._ask("denoising_gradient", query)
        return replace(answer, gradients_TD=tuple(_owned(gradient) for gradient in answer.gradients_TD))

    def statistics(self) -> PriorStatistics:
        """What one replica of the prior did since it started."""
        statistics: PriorStatistics = self._ask("statistics")
        return statistics

    def about(self) -> About:
        """What the application serves."""
        about: About = self._ask("about")
        return about


def connect_prior(app_name: str = APP_NAME) -> RemotePrior:
    """The prior of a running application.

    Raises:
        ClusterError: no such application is running.
    """
    try:
        return RemotePrior(serve.get_deployment_handle(PRIOR, app_name))
    except RayServeException as error:
        raise ClusterError(
            f"no Serve application {app_name!r} is running; deploy it, or let submit start one"
        ) from error


def connect(app_name: str = APP_NAME) -> Models:
    """All roles of a running application.

    Raises:
        ClusterError: no such application is running.
    """
    prior = connect_prior(app_name)
    names = prior.about().roles

    def handle(role: str) -> DeploymentHandle[Any]:
        return serve.get_deployment_handle(names[role], app_name)

    return Models(
        segmenter=RemoteSegmenter(handle("segmenter")),
        captioner=RemoteCaptioner(handle("captioner")),
        depth=RemoteDepth(handle("depth")),
        clip=RemoteClip(handle("clip")),
        prior=prior,
    )


def _owned(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The array, copied where it is a read-only view into the object store: torch takes writable arrays only."""
    return array if array.flags.writeable else np.array(array)


def _query_bytes(query: NoiseQuery) -> int:
    arrays = [query.noisy_latents_BCHW]
    if query.view is not None:
        arrays.append(query.view.reference_latents_BCHW)
        if query.view.image_tokens_BTD is not None:
            arrays.append(query.view.image_tokens_BTD)
    if query.disparity_B1HW is not None:
        arrays.append(query.disparity_B1HW)
    arrays += [token.vectors_TD for token in query.learned]
    return sum(array.nbytes for array in arrays)
