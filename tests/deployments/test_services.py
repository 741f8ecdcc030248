from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lift3d_ray.deployments.app import PERCEPTION, PRIOR, ReplicaArgs, ServeArgs
from lift3d_ray.deployments.engines import analytic_loaders, load_models_from
from lift3d_ray.deployments.gate import Gate
from lift3d_ray.deployments.services import About, NoisePredictorService, PerceptionService, SegmenterService
from lift3d_ray.errors import BundleError, ConfigError, NoSubject
from lift3d_ray.models.analytic import AnalyticPrior, ColorSegmenter
from lift3d_ray.models.tuning import Tuning
from lift3d_ray.types import MaskProposal, NoisePrediction, NoiseQuery, SegmentQuery
from tests.deployments.queries import SHAPE, query

ABOUT = About(bundle_digest="analytic", roles={})


class Moody:
    """A prior that can be told to break."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.broken: Exception | None = None
        self.nonsense = False

    def predict_noise(self, asked: NoiseQuery) -> NoisePrediction:
        self.asked.append(len(asked.noisy_latents_BCHW))
        if self.broken is not None:
            raise self.broken
        answer = AnalyticPrior(np.zeros(SHAPE, np.float32)).predict_noise(asked)
        return replace(answer, noise_BCHW=answer.noise_BCHW * np.nan) if self.nonsense else answer


def service(model: Moody) -> NoisePredictorService:
    return NoisePredictorService(
        lambda: model, ABOUT, max_batch_size=4, max_batch_latents=16, batch_wait_timeout_s=0.001
    )


def test_health_asks_the_model_one_latent_again_when_it_was_idle() -> None:
    model = Moody()

    async def scenario() -> None:
        served = service(model)
        await served.check_health()
        await served.predict_noise(query(rows=3, view=True, depth=True))
        await served.check_health()
        assert model.asked == [3]
        await served.check_health()
        await served.check_health()
        assert model.asked == [3, 1, 1]

    asyncio.run(scenario())


def test_a_model_that_broke_is_unhealthy_even_while_it_is_asked() -> None:
    model = Moody()

    async def scenario() -> None:
        served = service(model)
        await served.predict_noise(query())
        await served.check_health()
        model.broken = RuntimeError("CUDA error: device-side assert triggered")
        await asyncio.gather(served.predict_noise(query()), return_exceptions=True)
        with pytest.raises(RuntimeError, match="device-side assert"):
            await served.check_health()

    asyncio.run(scenario())


def test_a_model_that_answers_nonsense_is_unhealthy() -> None:
    model = Moody()

    async def scenario() -> None:
        served = service(model)
        await served.predict_noise(query())
        await served.check_health()
        model.nonsense = True
        with pytest.raises(RuntimeError, match="not finite"):
            await served.check_health()

    asyncio.run(scenario())


def test_the_service_tells_what_it_serves_and_how_busy_it_was() -> None:
    async def scenario() -> None:
        served = service(Moody())
        await asyncio.gather(served.predict_noise(query(1)), served.predict_noise(query(2)))
        assert await served.about() == ABOUT
        assert (await served.statistics()).queries == 2

    asyncio.run(scenario())


def test_a_prior_that_cannot_teach_words_says_so() -> None:
    with pytest.raises(ConfigError, match="Moody cannot teach words"):
        asyncio.run(service(Moody()).word_vectors("mug"))


def test_co_located_roles_are_asked_one_at_a_time() -> None:
    busy, most = [0], [0]

    class Slow:
        def segment(self, asked: SegmentQuery) -> list[MaskProposal]:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            time.sleep(0.02)
            busy[0] -= 1
            return []

        def caption(self, rgb_HWC: np.ndarray) -> str:
            self.segment(SegmentQuery(rgb_HWC=rgb_HWC))
            return "a thing"

        def sample_captions(self, rgb_HWC: np.ndarray, count: int, *, nucleus: float, seed: int) -> list[str]:
            return [self.caption(rgb_HWC)] * count

    served = PerceptionService(replace(analytic_loaders(), segmenter=Slow, captioner=Slow))
    picture = np.zeros((4, 4, 3), np.uint8)
    calls = [lambda: served.segment(SegmentQuery(rgb_HWC=picture)), lambda: served.caption(picture)] * 3
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_a_gate_tells_the_models_breakage_from_the_querys_faults() -> None:
    gate = Gate()
    for fault in (ValueError("shape"), NoSubject("nothing")):
        with pytest.raises(type(fault)), gate:
            raise fault
        gate.check()
    with pytest.raises(RuntimeError, match="lost"), gate:
        raise RuntimeError("GPU lost")
    with pytest.raises(RuntimeError, match="the model broke: RuntimeError: GPU lost"):
        gate.check()


def test_a_service_of_one_role() -> None:
    served = SegmenterService(ColorSegmenter)
    served.check_health()
    assert served.segment(SegmentQuery(rgb_HWC=np.zeros((4, 4, 3), np.uint8))) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_batch_size": 20}, "need 40"),
        ({"max_ongoing_requests": 3}, "need 16"),
        ({"roles": {"Clip": {}}}, "co_locate must be false"),
        ({"roles": {"Painter": {}}, "co_locate": False}, "Painter"),
        ({"batch_wait": 1}, "batch_wait"),
        ({"prior": {"replicas": 0}}, "greater than or equal to 1"),
        ({"dtype": "int8"}, "float32"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_words(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ServeArgs.model_validate(wrong)


def test_demand_adds_up_all_replicas() -> None:
    args = ServeArgs(
        prior=ReplicaArgs(replicas=2, num_cpus=1, num_gpus=1), perception=ReplicaArgs(num_cpus=0.5, num_gpus=0.25)
    )
    assert args.demand() == {"CPU": 2.5, "GPU": 2.25}
    assert set(args.hardware()) == {PRIOR, PERCEPTION}
    apart = ServeArgs(co_locate=False, perception=ReplicaArgs(num_cpus=0.5), roles={"Clip": ReplicaArgs(num_cpus=0)})
    assert apart.demand() == {"CPU": 2.5, "GPU": 0}


def test_the_prior_alone_is_tuned_where_it_lives() -> None:
    assert ServeArgs().tuning() == Tuning()
    args = ServeArgs.model_validate({"compile": True, "slice_attention": True})
    assert args.tuning() == Tuning(compile=True, slice_attention=True)
    loaders, _ = load_models_from("toybox", device="cpu", dtype="float32", threads=1, tuning=args.tuning())
    with pytest.raises(ConfigError, match="exclude each other"):
        loaders.prior()
    assert loaders.depth() is not None


def test_hardware_becomes_actor_options() -> None:
    assert ReplicaArgs().actor_options() == {"num_cpus": 1.0}
    full = ReplicaArgs(
        num_cpus=2, num_gpus=0.5, memory_bytes=7, resources={"tpu": 1}, label_selector={"market": "on-demand"}
    )
    assert full.actor_options() == {
        "num_cpus": 2.0,
        "num_gpus": 0.5,
        "memory": 7,
        "resources": {"tpu": 1.0},
        "label_selector": {"market": "on-demand"},
    }


def test_a_bundle_that_is_not_there_is_refused_before_anything_starts() -> None:
    with pytest.raises(BundleError):
        load_models_from("no-such-bundle", device="cpu", dtype="float32", threads=1)
