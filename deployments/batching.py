"""Queries of different scenes in one forward pass.

The scenes are closed loops: each sends a query, waits for the answer, then renders for a while. So a batch is whatever
came in while the model was busy, and waiting for more pays only if others are about to ask. The batcher learns whether
it does: with one client it never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from lift3d_ray.types import NoisePrediction, NoiseQuery, PromptBlend, ViewConditioning

_Answer = TypeVar("_Answer")

_HOPE_OF_WAITING = 0.2
_HOPE_STEP = 0.1
_HOPE_REGAINED = 0.01
_MEMORY = 16


def group_of(query: NoiseQuery) -> Hashable:
    """What queries must agree on to share a forward pass."""
    view, disparity = query.view, query.disparity_B1HW
    return (
        query.guidance_scale,
        query.noisy_latents_BCHW.shape[1:],
        None if view is None else view.reference_latents_BCHW.shape[1:],
        None if view is None or view.image_tokens_BTD is None else view.image_tokens_BTD.shape[1:],
        None if disparity is None else disparity.shape[1:],
        query.blend is None,
    )


def merge(queries: Sequence[NoiseQuery]) -> NoiseQuery:
    """One query holding the rows of several that agree in ``group_of``. Its arrays are fresh and writable."""
    views = [query.view for query in queries if query.view is not None]
    disparities = [query.disparity_B1HW for query in queries if query.disparity_B1HW is not None]
    return NoiseQuery(
        noisy_latents_BCHW=np.concatenate([query.noisy_latents_BCHW for query in queries]),
        timesteps_B=np.concatenate([query.timesteps_B for query in queries]),
        guidance_scale=queries[0].guidance_scale,
        prompts=tuple(prompt for query in queries for prompt in query.prompts),
        negative_prompts=tuple(prompt for query in queries for prompt in query.negative_prompts),
        view=_merge_views(views) if views else None,
        disparity_B1HW=np.concatenate(disparities) if disparities else None,
        learned=tuple({token.word: token for query in queries for token in query.learned}.values()),
        blend=_merge_blends([query.blend for query in queries if query.blend is not None]),
    )


def _merge_blends(blends: list[PromptBlend]) -> PromptBlend | None:
    if not blends:
        return None
    return PromptBlend(
        prompts=tuple(prompt for blend in blends for prompt in blend.prompts),
        share_B=np.concatenate([blend.share_B for blend in blends]),
    )


def _merge_views(views: list[ViewConditioning]) -> ViewConditioning:
    tokens = [view.image_tokens_BTD for view in views if view.image_tokens_BTD is not None]
    return ViewConditioning(
        reference_latents_BCHW=np.concatenate([view.reference_latents_BCHW for view in views]),
        azimuth_deg_B=np.concatenate([view.azimuth_deg_B for view in views]),
        elevation_deg_B=np.concatenate([view.elevation_deg_B for view in views]),
        image_tokens_BTD=np.concatenate(tokens) if tokens else None,
    )


def split(prediction: NoisePrediction, queries: Sequence[NoiseQuery]) -> list[NoisePrediction]:
    """The rows of a merged prediction, back to the queries they answer."""
    ends = np.cumsum([len(query.noisy_latents_BCHW) for query in queries])
    return [replace(prediction, noise_BCHW=noise) for noise in np.split(prediction.noise_BCHW, ends[:-1])]


@dataclass(kw_only=True)
class PriorStatistics:
    """What a replica of the prior did since it started.

    Attributes:
        queries: queries answered.
        failed: queries that the model refused or failed.
        latents: latents in them.
        passes_by_latents: forward passes, by the latents that shared them.
        passes_by_queries: forward passes, by the queries that shared them.
        waited_s: seconds that queries spent waiting for the model, summed.
        busy_s: seconds in forward passes.
        up_s: seconds since the start.
    """

    queries: int = 0
    failed: int = 0
    latents: int = 0
    passes_by_latents: Counter[int] = field(default_factory=Counter)
    passes_by_queries: Counter[int] = field(default_factory=Counter)
    waited_s: float = 0.0
    busy_s: float = 0.0
    up_s: float = 0.0

    @property
    def utilisation(self) -> float:
        """Share of the time spent in forward passes, [0, 1]."""
        return self.busy_s / self.up_s if self.up_s else 0.0

    @property
    def mean_batch(self) -> float:
        """Latents per forward pass; 0 before the first."""
        passes = sum(self.passes_by_latents.values())
        return self.latents / passes if passes else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    query: NoiseQuery
    group: Hashable
    answer: asyncio.Future[NoisePrediction]
    since: float


class NoiseBatcher:
    """Answers noise queries, several in one forward pass, on a thread of its own so that the event loop stays free.

    Args:
        predict: the model's forward pass; called from one thread only.
        max_queries: queries in one batch at most.
        max_latents: latents in one forward pass at most (a single larger query still passes alone).
        wait_s: longest wait for others when a batch could still grow.
    """

    def __init__(
        self, predict: Callable[[NoiseQuery], NoisePrediction], *, max_queries: int, max_latents: int, wait_s: float
    ) -> None:
        self._predict = predict
        self._max_queries, self._max_latents, self._wait_s = max_queries, max_latents, wait_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prior")
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._answering = 0
        self._at_once: deque[int] = deque(maxlen=_MEMORY)
        self._hope = 1.0
        self._started = time.perf_counter()
        self._statistics = PriorStatistics()

    async def ask(self, query: NoiseQuery) -> NoisePrediction:
        """The prediction for one query; errors of the model are raised to the query they belong to."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(query=query, group=group_of(query), answer=loop.create_future(), since=time.perf_counter())
        self._waiting.append(waiting)
        self._at_once.append(len(self._waiting) + self._answering)
        self._arrived.set()
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return await waiting.answer

    async def alone(self, question: Callable[[], _Answer]) -> _Answer:
        """The answer to anything else that is asked of the model: on its thread, so between the passes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def statistics(self) -> PriorStatistics:
        """Figures since the start."""
        return replace(self._statistics, up_s=time.perf_counter() - self._started)

    async def _work(self) -> None:
        while self._waiting:
            await self._let_others_come()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_queries))]
            self._answering = len(batch)
            for together in self._passes(batch):
                await self._answer(together)
            self._answering = 0

    async def _let_others_come(self) -> None:
        """Wait a little if others were about lately and waiting has paid."""
        wanted = min(max(self._at_once), self._max_queries)
        if self._wait_s <= 0 or len(self._waiting) >= wanted:
            return
        if self._hope < _HOPE_OF_WAITING:
            self._hope += _HOPE_REGAINED
            return
        before, deadline = len(self._waiting), time.perf_counter() + self._wait_s
        while len(self._waiting) < wanted and (left := deadline - time.perf_counter()) > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)
        paid = len(self._waiting) > before
        self._hope += _HOPE_STEP * (float(paid) - self._hope)

    def _passes(self, batch: list[_Waiting]) -> Iterator[list[_Waiting]]:
        """The batch in groups that can share a forward pass."""
        groups: dict[Hashable, list[_Waiting]] = {}
        for waiting in batch:
            groups.setdefault(waiting.group, []).append(waiting)
        for group in groups.values():
            chunk: list[_Waiting] = []
            for waiting in group:
                size = sum(len(other.query.noisy_latents_BCHW) for other in (*chunk, waiting))
                if chunk and size > self._max_latents:
                    yield chunk
                    chunk = []
                chunk.append(waiting)
            yield chunk

    async def _answer(self, together: list[_Waiting]) -> None:
        queries = [waiting.query for waiting in together]
        started = time.perf_counter()
        attempt = asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._predict(merge(queries)))
        await asyncio.wait([attempt])
        error = attempt.exception()
        if error is not None and len(together) > 1:
            # One bad query must not fail those that happened to share its pass.
            for waiting in together:
                await self._answer([waiting])
            return
        if error is not None:
            self._statistics.failed += 1
            if not together[0].answer.done():
                together[0].answer.set_exception(error)
            return
        self._count(together, started)
        for waiting, prediction in zip(together, split(attempt.result(), queries), strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(prediction)

    def _count(self, together: list[_Waiting], started: float) -> None:
        statistics = self._statistics
        latents = sum(len(waiting.query.noisy_latents_BCHW) for waiting in together)
        statistics.queries += len(together)
        statistics.latents += latents
        statistics.passes_by_latents[latents] += 1
        statistics.passes_by_queries[len(together)] += 1
        statistics.waited_s += sum(started - waiting.since for waiting in together)
        statistics.busy_s += time.perf_counter() - started
