from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lift3d_ray.deployments.batching import NoiseBatcher, group_of, merge, split
from lift3d_ray.models.analytic import AnalyticPrior
from lift3d_ray.types import LearnedToken, NoisePrediction, NoiseQuery
from tests.deployments.queries import SHAPE, query

PRIOR = AnalyticPrior(np.ones(SHAPE, np.float32), spread=0.5)


class Recorder:
    """A prior that notes the rows of every pass, and takes a while if told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.passes: list[int] = []
        self.threads: set[str] = set()
        self._seconds = seconds

    def __call__(self, asked: NoiseQuery) -> NoisePrediction:
        self.passes.append(len(asked.noisy_latents_BCHW))
        self.threads.add(threading.current_thread().name)
        time.sleep(self._seconds)
        return PRIOR.predict_noise(asked)


def batcher(
    predict: Callable[[NoiseQuery], NoisePrediction], queries: int = 8, latents: int = 64, wait_s: float = 0.05
) -> NoiseBatcher:
    return NoiseBatcher(predict, max_queries=queries, max_latents=latents, wait_s=wait_s)


def test_merging_and_splitting_is_a_round_trip() -> None:
    queries = [
        query(seed, rows, view=True, tokens=True, depth=True, blend=True) for seed, rows in ((1, 2), (2, 1), (3, 4))
    ]
    merged = merge(queries)
    assert merged.noisy_latents_BCHW.shape == (7, *SHAPE)
    assert merged.prompts == ("a mug",) * 7
    assert merged.blend is not None
    assert merged.blend.prompts == ("a cup",) * 7
    shares = [asked.blend.share_B for asked in queries if asked.blend is not None]
    np.testing.assert_array_equal(merged.blend.share_B, np.concatenate(shares))
    assert merged.view is not None
    tokens = [asked.view.image_tokens_BTD for asked in queries if asked.view is not None]
    np.testing.assert_array_equal(merged.view.image_tokens_BTD, np.concatenate(tokens))  # type: ignore[arg-type]
    for answer, asked in zip(split(PRIOR.predict_noise(merged), queries), queries, strict=True):
        np.testing.assert_allclose(answer.noise_BCHW, PRIOR.predict_noise(asked).noise_BCHW, atol=1e-6)
        assert answer.batch_size == 7


def test_learned_tokens_of_several_scenes_share_a_pass_and_keep_their_answers() -> None:
    def spoken(seed: int) -> NoiseQuery:
        token = LearnedToken(vectors_TD=np.full((1, int(np.prod(SHAPE))), seed, np.float32))
        return replace(query(seed, prompt=f"a {token.word}"), learned=(token,))

    recorder, asked = Recorder(), [spoken(1), query(2), spoken(3), spoken(1)]
    answers = asyncio.run(together(asked, recorder))
    assert recorder.passes == [8]
    assert len(merge(asked).learned) == 2
    for answer, one in zip(answers, asked, strict=True):
        assert isinstance(answer, NoisePrediction)
        np.testing.assert_allclose(answer.noise_BCHW, PRIOR.predict_noise(one).noise_BCHW, atol=1e-6)


def test_merging_gives_writable_arrays_even_of_one_query() -> None:
    asked = query()
    asked.noisy_latents_BCHW.flags.writeable = False
    asked.timesteps_B.flags.writeable = False
    merged = merge([asked])
    assert merged.noisy_latents_BCHW.flags.writeable
    assert merged.timesteps_B.flags.writeable


def test_only_queries_of_a_kind_share_a_pass() -> None:
    kinds = [
        query(),
        query(scale=3.0),
        query(view=True),
        query(view=True, tokens=True),
        query(depth=True),
        query(blend=True),
        query(shape=(4, 4, 4)),
    ]
    assert len({group_of(kind) for kind in kinds}) == len(kinds)
    assert group_of(query(1, 2)) == group_of(query(2, 5, prompt="another scene"))


async def together(asked: list[NoiseQuery], recorder: Recorder, **limits: int) -> list[NoisePrediction | BaseException]:
    made = batcher(recorder, **limits)
    return list(await asyncio.gather(*(made.ask(q) for q in asked), return_exceptions=True))


def test_queries_of_several_scenes_share_a_pass_and_keep_their_answers() -> None:
    recorder, asked = Recorder(), [query(seed, rows) for seed, rows in ((1, 2), (2, 1), (3, 4))]
    answers = asyncio.run(together(asked, recorder))
    assert recorder.passes == [7]
    for answer, one in zip(answers, asked, strict=True):
        assert isinstance(answer, NoisePrediction)
        np.testing.assert_allclose(answer.noise_BCHW, PRIOR.predict_noise(one).noise_BCHW, atol=1e-6)


def test_passes_respect_both_limits_and_every_kind_gets_its_own() -> None:
    recorder = Recorder()
    asyncio.run(together([query(seed, 2) for seed in range(6)], recorder, queries=4))
    assert recorder.passes == [8, 4]
    recorder = Recorder()
    asyncio.run(together([query(seed, 3) for seed in range(4)] + [query(9, 5)], recorder, latents=6))
    assert recorder.passes == [6, 6, 5]
    recorder = Recorder()
    asyncio.run(together([query(1), query(2, scale=9.0), query(3)], recorder))
    assert sorted(recorder.passes) == [2, 4]
    recorder = Recorder()
    asyncio.run(together([query(1, 9)], recorder, latents=4))
    assert recorder.passes == [9]


def test_one_bad_query_fails_alone() -> None:
    bad = query(2)
    bad.timesteps_B[0] = 5000
    answers = asyncio.run(together([query(1), bad, query(3)], Recorder()))
    assert isinstance(answers[0], NoisePrediction)
    assert isinstance(answers[2], NoisePrediction)
    assert isinstance(answers[1], ValueError)
    assert "timesteps must lie" in str(answers[1])


def test_what_is_no_query_is_refused_and_the_others_go_on() -> None:
    async def scenario() -> NoisePrediction:
        made = batcher(Recorder())
        with pytest.raises(AttributeError):
            await made.ask("not a query")  # type: ignore[arg-type]
        return await made.ask(query())

    assert asyncio.run(scenario()).noise_BCHW.shape == (2, *SHAPE)


def test_the_event_loop_stays_free_during_a_pass() -> None:
    async def scenario() -> int:
        asked = asyncio.ensure_future(batcher(Recorder(0.3)).ask(query()))
        turns = 0
        while not asked.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(scenario()) >= 10


def test_the_model_is_called_from_one_thread() -> None:
    recorder = Recorder()

    async def scenario() -> None:
        made = batcher(recorder)
        for _ in range(5):
            await asyncio.gather(*(made.ask(query(seed, scale=float(seed))) for seed in range(3)))

    asyncio.run(scenario())
    assert len(recorder.threads) == 1


def test_a_lone_client_never_waits_for_company() -> None:
    async def scenario() -> float:
        made = batcher(Recorder(), wait_s=1.0)
        started = time.perf_counter()
        for seed in range(20):
            await made.ask(query(seed))
        return time.perf_counter() - started

    assert asyncio.run(scenario()) < 1.0


def test_waiting_that_never_pays_is_given_up() -> None:
    """Two clients who never meet again: the batcher stops holding one back for the other."""

    async def scenario() -> list[float]:
        made = batcher(Recorder(), wait_s=0.02)
        made._at_once.extend([2] * 16)  # as if two had been about lately
        spans = []
        for seed in range(60):
            made._at_once.append(2)
            started = time.perf_counter()
            await made.ask(query(seed))
            spans.append(time.perf_counter() - started)
        return spans

    spans = asyncio.run(scenario())
    assert min(spans[:5]) >= 0.02
    assert sorted(spans[30:])[15] < 0.02


def test_a_client_that_goes_away_does_not_disturb_the_others() -> None:
    async def scenario() -> NoisePrediction:
        made = batcher(Recorder(0.1))
        first = asyncio.ensure_future(made.ask(query(1)))
        second = asyncio.ensure_future(made.ask(query(2)))
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    assert asyncio.run(scenario()).noise_BCHW.shape == (2, *SHAPE)


def test_statistics_count_passes_waits_and_failures() -> None:
    async def scenario() -> NoiseBatcher:
        made = batcher(Recorder(0.02))
        await asyncio.gather(made.ask(query(1, 2)), made.ask(query(2, 3)))
        await made.ask(query(3, 1))
        bad = query(4)
        bad.timesteps_B[0] = -1
        await asyncio.gather(made.ask(bad), return_exceptions=True)
        return made

    statistics = asyncio.run(scenario()).statistics()
    assert (statistics.queries, statistics.failed, statistics.latents) == (3, 1, 6)
    assert dict(statistics.passes_by_latents) == {5: 1, 1: 1}
    assert dict(statistics.passes_by_queries) == {2: 1, 1: 1}
    assert statistics.mean_batch == 3
    assert 0.04 <= statistics.busy_s <= statistics.up_s
    assert 0 < statistics.utilisation <= 1
