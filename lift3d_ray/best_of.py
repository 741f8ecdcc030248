"""Several lifts of one picture under as many seeds, the best of them kept.

What the models see in the picture, the pose and the guessed solid are found once and shared; each seed then has its own
field, noise and views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from lift3d_ray.errors import ConfigError, OptimizationFailed
from lift3d_ray.judge import best, judged
from lift3d_ray.lifting import Report, SceneTools, SettledScene, finish, fit_prepared, lift, perceive, set_scene, silent
from lift3d_ray.models.roles import ImageTextEncoder, Models, NoisePredictor
from lift3d_ray.recipes import Recipe
from lift3d_ray.subject.select import AUTOMATIC, Selection
from lift3d_ray.types import Asset, Candidate, MaskProposal, Perception, Photo, Progress


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
    """The best lift of a photo's subject under several seeds; one seed is a plain lift.

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
    report: Report = silent,
) -> Asset:
    """The best lift of a perceived subject under several seeds; arguments and errors as of ``settle_best``."""
    _, asset = settle_best(perception, prior, encoder, recipe, seeds=seeds, tools=tools, report=report)
    return asset


def settle_best(
    perception: Perception,
    prior: NoisePredictor,
    encoder: ImageTextEncoder,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    tools: SceneTools,
    report: Report = silent,
) -> tuple[SettledScene, Asset]:
    """The best lift of a perceived subject under several seeds, and its scene before it became a mesh.

    Args:
        perception: what the models saw.
        prior: answers noise queries.
        encoder: judges the lifts (``judge.judged``).
        recipe: all numbers.
        seeds: at least one; the first also draws the pose where the prior is asked for it, so that the first lift is
            the one that ``lifting.optimize`` makes under this seed.
        tools: what the scene keeps to itself.
        report: told about every lift, its number in the stage's name.

    Returns:
        The scene, and the asset with the highest score, the earliest of equals, with every seed's figures in
        ``candidates``.

    Raises:
        ConfigError: no seed.
        OptimizationFailed: no seed gave an asset; the first one's reason.
        PriorError: the prior failed.
    """
    if not seeds:
        raise ConfigError("the best of several lifts needs at least one seed, got none")
    generator = torch.Generator().manual_seed(seeds[0])
    prepared = set_scene(perception, prior, recipe, seed=seeds[0], tools=tools, generator=generator, report=report)
    kept: tuple[SettledScene, Asset] | None = None
    candidates: list[Candidate] = []
    first_error: OptimizationFailed | None = None
    for number, seed in enumerate(seeds):
        tell = _numbered(report, number + 1, len(seeds))
        source = generator if number == 0 else torch.Generator().manual_seed(seed)
        try:
            settled = fit_prepared(prepared, prior, recipe, tools=tools, generator=source, report=tell)
            tell(Progress(stage="mesh", step=0, steps=1))
            asset = finish(settled, recipe, seed=seed, prior=prior, tools=tools, report=tell)
        except OptimizationFailed as error:
            first_error = first_error or error
            candidates.append(Candidate(seed=seed, error=str(error)))
            continue
        candidates.append(judged(asset, encoder))
        if best(candidates) == number:
            kept = settled, asset
    if kept is None:
        raise first_error or OptimizationFailed(f"none of {len(seeds)} seeds gave an asset; try others")
    chosen = best(candidates)
    told = tuple(replace(candidate, kept=index == chosen) for index, candidate in enumerate(candidates))
    settled, asset = kept
    return settled, replace(asset, candidates=told)


def _numbered(report: Report, number: int, count: int) -> Report:
    if count == 1:
        return report
    return lambda progress: report(replace(progress, stage=f"{progress.stage} {number}/{count}"))
