"""One contract for the roles, met in this process and through Serve handles alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lift3d_ray.deployments.app import ServeArgs, bind_app
from lift3d_ray.deployments.engines import analytic_loaders
from lift3d_ray.deployments.handles import RemoteCaptioner, RemoteClip, RemoteDepth, RemotePrior, RemoteSegmenter
from lift3d_ray.deployments.services import Loaders, PerceptionService
from lift3d_ray.models.analytic import AnalyticPrior
from lift3d_ray.models.roles import Models, NoisePredictor, WordTeacher
from lift3d_ray.types import DenoisingQuery, LearnedToken, NoisePrediction, NoiseQuery, SegmentQuery
from tests.deployments.queries import SHAPE, query

PICTURE = np.full((24, 32, 3), 240, np.uint8)
PICTURE[6:18, 10:22] = (30, 60, 200)


def loaders() -> Loaders:
    base = analytic_loaders()
    return Loaders(
        segmenter=base.segmenter,
        captioner=base.captioner,
        depth=base.depth,
        clip=base.clip,
        prior=lambda: AnalyticPrior(np.full(SHAPE, 0.5, np.float32), spread=0.3),
    )


@contextmanager
def in_process() -> Iterator[Models]:
    load = loaders()
    yield Models(
        segmenter=load.segmenter(), captioner=load.captioner(), depth=load.depth(), clip=load.clip(), prior=load.prior()
    )


@contextmanager
def behind_handles() -> Iterator[Models]:
    """Local testing mode: replicas live in this process, calls take the real handle and replica code."""
    from ray import serve

    def run(app: serve.Application, name: str) -> Any:
        return serve.run(app, name=name, route_prefix=None, _local_testing_mode=True)

    load = loaders()
    prior = run(bind_app(ServeArgs(), load, "analytic"), "models")
    perception_deployment: Any = serve.deployment(PerceptionService)
    perception = run(perception_deployment.bind(load), "perception")
    yield Models(
        segmenter=RemoteSegmenter(perception),
        captioner=RemoteCaptioner(perception),
        depth=RemoteDepth(perception),
        clip=RemoteClip(perception),
        prior=RemotePrior(prior),
    )


WORLDS = [
    pytest.param(in_process, id="in process"),
    pytest.param(behind_handles, id="behind handles", marks=pytest.mark.seam),
]


@pytest.fixture(scope="module", params=WORLDS)
def models(request: pytest.FixtureRequest) -> Iterator[Models]:
    world: Callable[[], Any] = request.param
    with world() as made:
        yield made


KINDS: list[dict[str, Any]] = [{}, {"view": True}, {"depth": True}, {"scale": 1.0}, {"rows": 1}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_predictions_have_the_shape_and_type_of_their_latents(models: Models, kind: dict[str, Any]) -> None:
    asked = query(3, **kind)
    answer = models.prior.predict_noise(asked)
    assert answer.noise_BCHW.shape == asked.noisy_latents_BCHW.shape
    assert answer.noise_BCHW.dtype == np.float32
    assert np.isfinite(answer.noise_BCHW).all()
    assert answer.noise_BCHW.flags.writeable
    assert answer.batch_size >= len(asked.noisy_latents_BCHW)


def test_the_same_query_twice_has_one_answer(models: Models) -> None:
    first, second = (models.prior.predict_noise(query(5)).noise_BCHW for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_query_does_not_change_by_being_asked(models: Models) -> None:
    asked, copy = query(6, view=True), query(6, view=True)
    models.prior.predict_noise(asked)
    np.testing.assert_array_equal(asked.noisy_latents_BCHW, copy.noisy_latents_BCHW)
    np.testing.assert_array_equal(asked.timesteps_B, copy.timesteps_B)


def test_a_query_of_two_is_two_queries_of_one(models: Models) -> None:
    both = query(7, 2)
    halves = [
        NoiseQuery(
            noisy_latents_BCHW=both.noisy_latents_BCHW[i : i + 1],
            timesteps_B=both.timesteps_B[i : i + 1],
            guidance_scale=both.guidance_scale,
            prompts=both.prompts[i : i + 1],
            negative_prompts=both.negative_prompts[i : i + 1],
        )
        for i in range(2)
    ]
    apart = np.concatenate([models.prior.predict_noise(half).noise_BCHW for half in halves])
    np.testing.assert_allclose(models.prior.predict_noise(both).noise_BCHW, apart, atol=1e-6)


def test_scenes_asking_at_once_do_not_mix(models: Models) -> None:
    alone = AnalyticPrior(np.full(SHAPE, 0.5, np.float32), spread=0.3)
    answers: dict[tuple[int, int], NoisePrediction] = {}

    def scene(number: int, prior: NoisePredictor) -> None:
        for step in range(10):
            answers[number, step] = prior.predict_noise(asked(number, step))

    def asked(number: int, step: int) -> NoiseQuery:
        return query(100 * number + step, 1 + number, view=number == 2)

    threads = [threading.Thread(target=scene, args=(number, models.prior)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 30
    for (number, step), answer in answers.items():
        expected = alone.predict_noise(asked(number, step)).noise_BCHW
        np.testing.assert_allclose(answer.noise_BCHW, expected, atol=1e-5)


def test_a_wrong_shape_is_the_same_error_on_both_sides(models: Models) -> None:
    with pytest.raises(ValueError, match=r"takes latents \(B, 4, 8, 8\), got \(2, 4, 4, 4\)$") as caught:
        models.prior.predict_noise(query(shape=(4, 4, 4)))
    assert type(caught.value) is ValueError
    assert "Traceback" not in str(caught.value)


def test_perception_answers_as_it_would_in_this_process(models: Models) -> None:
    with in_process() as near:
        (there,), (here,) = (m.segmenter.segment(SegmentQuery(rgb_HWC=PICTURE)) for m in (models, near))
        np.testing.assert_array_equal(there.mask_HW, here.mask_HW)
        assert there.mask_HW.flags.writeable
        assert models.captioner.caption(PICTURE) == near.captioner.caption(PICTURE)
        drawn = models.captioner.sample_captions(PICTURE, 3, nucleus=0.9, seed=1)
        assert drawn == near.captioner.sample_captions(PICTURE, 3, nucleus=0.9, seed=1)
        np.testing.assert_array_equal(models.depth.estimate_disparity(PICTURE), near.depth.estimate_disparity(PICTURE))
        batch = np.stack([PICTURE, PICTURE[::-1]])
        np.testing.assert_array_equal(models.clip.encode_images(batch), near.clip.encode_images(batch))
        np.testing.assert_array_equal(models.clip.encode_texts(("a", "b")), near.clip.encode_texts(("a", "b")))


def test_words_are_taught_as_they_would_be_in_this_process(models: Models) -> None:
    assert isinstance(models.prior, WordTeacher)
    near = AnalyticPrior(np.full(SHAPE, 0.5, np.float32), spread=0.3)
    vectors = models.prior.word_vectors("mug")
    np.testing.assert_array_equal(vectors, near.word_vectors("mug"))
    token = LearnedToken(vectors_TD=vectors + 1)
    asked = DenoisingQuery(
        latents_BCHW=query(1).noisy_latents_BCHW,
        noise_BCHW=query(2).noisy_latents_BCHW,
        timesteps_B=np.array([100, 600]),
        prompts=(f"a {token.word}", "a mug"),
        learned=(token,),
    )
    answer, wanted = models.prior.denoising_gradient(asked), near.denoising_gradient(asked)
    np.testing.assert_array_equal(answer.losses_B, wanted.losses_B)
    np.testing.assert_array_equal(answer.gradients_TD[0], wanted.gradients_TD[0])
    assert answer.gradients_TD[0].flags.writeable


@pytest.mark.seam
def test_statistics_and_description_come_through_the_handle() -> None:
    with behind_handles() as models:
        prior = models.prior
        assert isinstance(prior, RemotePrior)
        prior.predict_noise(query())
        assert prior.statistics().queries == 1
        assert prior.about().roles["segmenter"] == "Perception"


@pytest.mark.seam
def test_roles_may_have_deployments_of_their_own() -> None:
    from ray import serve

    app = bind_app(ServeArgs(co_locate=False), loaders(), "analytic")
    prior = RemotePrior(serve.run(app, name="apart", route_prefix=None, _local_testing_mode=True))
    assert prior.about().roles == {
        "segmenter": "Segmenter",
        "captioner": "Captioner",
        "depth": "Depth",
        "clip": "Clip",
        "prior": "NoisePredictor",
    }
    assert prior.predict_noise(query()).noise_BCHW.shape == (2, *SHAPE)
