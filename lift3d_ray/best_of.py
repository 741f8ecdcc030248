"""Several lifts of one picture under as many seeds, the best of them kept.

What the models see in the picture, the pose and the guessed solid are found once and shared; each seed then has its own
field, noise and views. Seeds may be lifted side by side, each in a thread of its own: while one waits for the prior,
others compute, and a shared prior answers their queries in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TypeVar

import torch

from lift3d_ray.errors import ConfigError, OptimizationFailed
from lift3d_ray.judge import best, judged
from lift3d_ray.lifting import Report, SceneTools, SettledScene, finish, fit_prepared, lift, perceive, set_scene, silent
from lift3d_ray.models.roles import ImageTextEncoder, Models, NoisePredictor
from lift3d_ray.recipes import Recipe
from lift3d_ray.subject.select import AUTOMATIC, Selection
from lift3d_ray.types import Asset, Candidate, MaskProposal, Perception, Photo, Progress

T = TypeVar("T")


def lift_best(
    photo: Photo,
    models: Models,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    tools: SceneTools,
    selection: Selection = AUTOMATIC,
    mask: MaskProposal | None = None,
    prompt: str | None = None,
    report: Report = silent,
) -> Asset:
    """The best lift of a photo's subject under several seeds, one after another; one seed is a plain lift.

    Other arguments and errors as of ``lifting.lift``.
    """
    if len(seeds) == 1:
        return lift(
            photo,
            models,
            recipe,
            seed=seeds[0],
            tools=tools,
            selection=selection,
            mask=mask,
            prompt=prompt,
            report=report,
        )
    seen = perceive(photo, models, recipe, selection=selection, mask=mask, prompt=prompt, report=report)
    return optimize_best(seen, models.prior, models.clip, recipe, seeds=seeds, tools=tools, report=report)


def optimize_best(
    perception: Perception,
    prior: NoisePredictor,
    encoder: ImageTextEncoder,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    tools: SceneTools,
    side_by_side: int = 1,
    report: Report = silent,
) -> Asset:
    """The best lift of a perceived subject under several seeds; arguments and errors as of ``settle_best``."""
    _, asset = settle_best(
        perception, prior, encoder, recipe, seeds=seeds, tools=tools, side_by_side=side_by_side, report=report
    )
    return asset


def settle_best(
    perception: Perception,
    prior: NoisePredictor,
    encoder: ImageTextEncoder,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    tools: SceneTools,
    side_by_side: int = 1,
    report: Report = silent,
) -> tuple[SettledScene, Asset]:
    """The best lift of a perceived subject under several seeds, and its scene before it became a mesh.

    Args:
        perception: what the models saw.
        prior: answers noise queries, of several threads where seeds are lifted side by side.
        encoder: judges the lifts (``judge.judged``).
        recipe: all numbers.
        seeds: at least one; the first also draws the pose where the prior is asked for it, so that the first lift is
            the one that ``lifting.optimize`` makes under this seed.
        tools: what the scene keeps to itself.
        side_by_side: lifts that run at once. The result does not depend on it.
        report: told about the lifts, a lift's number in the stage's name; of several at once, about the earliest.

    Returns:
        The scene, and the asset with the highest score, the earliest of equals, with every seed's figures in
        ``candidates``.

    Raises:
        ConfigError: no seed, or fewer than one lift at once.
        OptimizationFailed: no seed gave an asset; the first one's reason.
        PriorError: the prior failed.
    """
    if not seeds or side_by_side < 1:
        raise ConfigError(
            f"the best of several lifts needs at least one seed and one lift at once, got {len(seeds)} seeds and "
            f"side_by_side {side_by_side}"
        )
    generator = torch.Generator().manual_seed(seeds[0])
    prepared = set_scene(perception, prior, recipe, seed=seeds[0], tools=tools, generator=generator, report=report)
    tell = _Numbered(report, len(seeds))

    def ended(number: int) -> tuple[SettledScene, Asset, Candidate] | OptimizationFailed:
        seed, told = seeds[number], tell.of(number)
        source = generator if number == 0 else torch.Generator().manual_seed(seed)
        try:
            settled = fit_prepared(prepared, prior, recipe, tools=tools, generator=source, report=told)
            told(Progress(stage="mesh", step=0, steps=1))
            asset = finish(settled, recipe, seed=seed, prior=prior, tools=tools, report=told)
            return settled, asset, judged(asset, encoder)
        except OptimizationFailed as error:
            return error
        finally:
            tell.leave(number)

    ends = _each(ended, len(seeds), at_once=side_by_side)
    lifts = {number: end for number, end in enumerate(ends) if not isinstance(end, OptimizationFailed)}
    if not lifts:
        raise next(end for end in ends if isinstance(end, OptimizationFailed))
    candidates = [
        Candidate(seed=seed, error=str(end)) if isinstance(end, OptimizationFailed) else end[2]
        for seed, end in zip(seeds, ends, strict=True)
    ]
    chosen = best(candidates)
    settled, asset, _ = lifts[chosen]
    told = tuple(replace(candidate, kept=index == chosen) for index, candidate in enumerate(candidates))
    return settled, replace(asset, candidates=told)


def _each(work: Callable[[int], T], count: int, *, at_once: int) -> list[T]:
    """What the work gives for 0 to count - 1, in order; the first failure ends it, once what runs has ended."""
    if min(at_once, count) == 1:
        return [work(number) for number in range(count)]
    with ThreadPoolExecutor(min(at_once, count)) as pool:
        futures = [pool.submit(work, number) for number in range(count)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Numbered:
    """Passes on the reports of one lift at a time: of the earliest that still runs."""

    def __init__(self, report: Report, count: int) -> None:
        self._report, self._count = report, count
        self._running = set(range(count))
        self._lock = Lock()

    def of(self, number: int) -> Report:
        """The report function of a lift."""
        if self._count == 1:
            return self._report

        def told(progress: Progress) -> None:
            with self._lock:
                if number == min(self._running):
                    self._report(replace(progress, stage=f"{progress.stage} {number + 1}/{self._count}"))

        return told

    def leave(self, number: int) -> None:
        """The lift has ended."""
        with self._lock:
            self._running.discard(number)
