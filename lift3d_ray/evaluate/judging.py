"""Lifting exams under different guidance and judging field and mesh, in one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from lift3d_ray.best_of import settle_best
from lift3d_ray.errors import Lift3DError
from lift3d_ray.evaluate.exams import VIEW_PX, Exam, in_subject_world, make_exam, make_file_exam
from lift3d_ray.evaluate.perceptual import find_perceptual
from lift3d_ray.evaluate.scores import Eyes, Score, score_asset, score_copy, score_field, score_nothing
from lift3d_ray.lifting import SceneTools, load_tools, perceive
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.models.bundle import load_bundle, load_models
from lift3d_ray.models.roles import Models
from lift3d_ray.recipes import Conditioning, GuidanceTerm, Recipe
from lift3d_ray.types import Asset, UInt8

SHOWN = (0, 2, 4, 6, 8, 10, 13, 16, 19, 22)
"""Views of an exam that a strip shows."""


def _guided(*terms: GuidanceTerm) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, guidance=terms)


_VIEW = GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0)
_TEXT = GuidanceTerm(conditioning=Conditioning.TEXT, scale=3.0)

GUIDANCES: dict[str, Callable[[Recipe], Recipe]] = {
    "recipe": lambda recipe: recipe,
    "none": _guided(),
    "text": _guided(_TEXT),
    "view": _guided(_VIEW),
    "mix": _guided(replace(_VIEW, weight=0.5), replace(_TEXT, weight=0.5)),
    "drawn": lambda recipe: replace(recipe, optimize=replace(recipe.optimize, drawn_views=16)),
}
"""Ways to fill in what the photo does not show: the recipe's own; no prior, same regularisers; score distillation
with words, with the photo and the pose, with both; and the recipe's views drawn once, then fitted like photos."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One lift to judge.

    Attributes:
        exam: its number, or a mesh file.
        guidance: a name of ``GUIDANCES``.
        seed: of the lift.
        scale: classifier-free guidance scale of all that the prior is asked, None = each its own.
        best_of: seeds to lift it under, this one the first; the lift that scores best (``judge``) is judged here.
    """

    exam: int | Path
    guidance: str = "recipe"
    seed: int = 0
    scale: float | None = None
    best_of: int = 1

    def recipe(self, plain: Recipe) -> Recipe:
        """The recipe with this guidance."""
        recipe = GUIDANCES[self.guidance](plain)
        if self.scale is None:
            return recipe
        return replace(recipe, guidance=tuple(replace(term, scale=self.scale) for term in recipe.guidance))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One lift, judged.

    Attributes:
        question: what was asked.
        name: of the exam.
        caption: what the lift took it for; the reason where it failed.
        field: of the field before meshing.
        mesh: of the exported mesh.
        copy: of showing the photo for every view.
        seconds: wall time of the lift.
        strip_HWC: (128, 64 n, 3) the truth above the mesh, from ``SHOWN``.
        failed: nothing was lifted; field and mesh are judged as empty pictures.
    """

    question: Question
    name: str
    caption: str
    field: Score
    mesh: Score
    copy: Score
    seconds: float
    strip_HWC: UInt8
    failed: bool = False


class Judge:
    """Lifts and judges with one set of models.

    Args:
        bundle: its name or folder.
        recipe: of every lift, before its guidance is exchanged.
        device: torch device.
    """

    def __init__(self, bundle: str, recipe: Recipe, *, device: str = "cpu") -> None:
        weights = load_bundle(bundle)
        self._models: Models = load_models(weights, device=device)
        self._tools: SceneTools = load_tools(weights, recipe=recipe, device=device)
        self._recipe = recipe
        self._eyes = Eyes(clip=self._models.clip, perceptual=find_perceptual())

    def __call__(self, question: Question) -> Verdict:
        """Lift one exam, given nothing but its photo."""
        exam = make_file_exam(question.exam) if isinstance(question.exam, Path) else make_exam(question.exam)
        recipe = question.recipe(self._recipe)
        started, copy = time.perf_counter(), score_copy(exam, self._eyes)
        try:
            perception = perceive(exam.photo, self._models, recipe)
            settled, asset = settle_best(
                perception,
                self._models.prior,
                self._models.clip,
                recipe,
                seeds=range(question.seed, question.seed + question.best_of),
                tools=self._tools,
            )
        except Lift3DError as error:
            nothing = score_nothing(exam)
            return Verdict(
                question=question,
                name=exam.photo.name,
                caption=str(error),
                field=nothing,
                mesh=nothing,
                copy=copy,
                seconds=time.perf_counter() - started,
                strip_HWC=strip(None, exam),
                failed=True,
            )
        seconds = time.perf_counter() - started
        return Verdict(
            question=question,
            name=exam.photo.name,
            caption=perception.caption,
            field=score_field(settled, exam, self._eyes),
            mesh=score_asset(asset, exam, self._eyes),
            copy=copy,
            seconds=seconds,
            strip_HWC=strip(asset, exam),
        )


def strip(asset: Asset | None, exam: Exam) -> UInt8:
    """The truth above the mesh, side by side."""
    shown = list(SHOWN)
    truth = exam.rgb_VSSC[shown]
    got = np.ones_like(truth)
    if asset is not None:
        got = rasterize(in_subject_world(asset.mesh, asset, exam), exam.c2w_V44[shown], size=VIEW_PX).rgb_VHWC
    rows = np.concatenate([np.concatenate(list(views), axis=1) for views in (truth, got)])
    return np.asarray(np.round(rows.clip(0, 1) * 255), dtype=np.uint8)


def judge_all(
    questions: Sequence[Question], bundle: str, recipe: Recipe, *, device: str = "cpu", jobs: int = 1
) -> Iterator[Verdict]:
    """Verdicts in the order of the questions.

    Args:
        questions: lifts to judge.
        bundle: name or folder.
        recipe: of every lift.
        device: torch device.
        jobs: processes, each with models of its own and one thread.
    """
    if jobs == 1:
        yield from map(Judge(bundle, recipe, device=device), questions)
        return
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_settle, initargs=(bundle, recipe, device)
    ) as pool:
        yield from pool.map(_judge, questions)


_worker: list[Judge] = []


def _settle(bundle: str, recipe: Recipe, device: str) -> None:
    torch.set_num_threads(1)
    _worker.append(Judge(bundle, recipe, device=device))


def _judge(question: Question) -> Verdict:
    return _worker[0](question)
