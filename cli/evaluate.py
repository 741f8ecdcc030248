"""``lift3d-ray evaluate``: lifts measured against toys that training never saw."""

from __future__ import annotations

import dataclasses
import math
import sys
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.recipes import Quality

if TYPE_CHECKING:
    from lift3d_ray.evaluate import Score, Verdict

COLUMNS = ("psnr", "ssim", "iou", "chamfer", "lpips", "clip", "front", "front_lpips")


class GuidanceName(StrEnum):
    """What fills in what the photo does not show."""

    RECIPE = "recipe"
    NONE = "none"
    TEXT = "text"
    VIEW = "view"
    MIX = "mix"
    DRAWN = "drawn"


def evaluate(
    count: Annotated[int, typer.Option("--count", min=1, help="Held-out toys to lift and judge.")] = 24,
    guidance: Annotated[
        list[GuidanceName] | None,
        typer.Option(
            "--guidance",
            help="Fill in what the photo does not show by: the recipe's own way, nothing, words, the photo and the "
            "pose, both, or views drawn once; may be given several times.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", min=0, help="Guidance scale for every way, to compare at one; else each its own."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Lift every toy with this many seeds.")] = 1,
    best_of: Annotated[
        int, typer.Option("--best-of", min=1, help="Lift everything under this many seeds and judge the best.")
    ] = 1,
    meshes: Annotated[
        Path | None,
        typer.Option("--meshes", metavar="DIR", help="Judge by the mesh files (GLB, OBJ, PLY) of a folder instead."),
    ] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", metavar="PNG", help="Truth above mesh, for looking.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Lifts side by side, each in its own process.")] = 1,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    settings: options.Settings = None,
    bundle: options.BundleName = "toybox",
    models: options.MixedModels = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
) -> None:
    """Lift held-out toys or models, given nothing but a picture, and compare with the truth from 24 other sides."""
    chosen = options.chosen_recipe(recipe, quality, settings)
    ways = [name.value for name in guidance or [GuidanceName.RECIPE]]

    from lift3d_ray.evaluate import Question, judge_all, mesh_files

    exams: list[int | Path] = list(range(count)) if meshes is None else list(mesh_files(meshes))
    questions = [
        Question(exam=exam, guidance=way, seed=seed + k, scale=scale, best_of=best_of)
        for way in ways
        for exam in exams
        for k in range(seeds)
    ]
    verdicts: list[Verdict] = []
    named = options.chosen_bundle(bundle, models, weights)
    for verdict in judge_all(questions, named, chosen, device=device, jobs=jobs):
        verdicts.append(verdict)
        if not quiet:
            title = f"{verdict.question.guidance} {verdict.name} ({verdict.caption})"
            print(line(title, verdict.mesh) + f"{verdict.seconds:8.1f} s", file=sys.stderr, flush=True)
    if sheet is not None:
        _write_sheet(sheet, verdicts)
    print(dumps(_as_json(verdicts), indent=2) if json else table(verdicts))


def table(verdicts: list[Verdict]) -> str:
    """Means of every way of guidance, the field beside the mesh, and the floor."""
    from lift3d_ray.evaluate import mean_score

    lines = [line("", None)]
    for way in dict.fromkeys(v.question.guidance for v in verdicts):
        some = [v for v in verdicts if v.question.guidance == way]
        failed = sum(v.failed for v in some)
        title = f"{way}: {len(some)} lifts" + (f", {failed} failed" if failed else "")
        lines.append(line(f"{title}, mesh", mean_score([v.mesh for v in some])))
        lines.append(line(f"{title}, field", mean_score([v.field for v in some])))
        won = sum(v.mesh.psnr > v.copy.psnr for v in some)
        lines.append(f"{way}: {won} of {len(some)} meshes have a higher psnr than the photo, copied")
        lines.append(f"{way}: {sum(v.seconds for v in some) / len(some):.1f} s a lift")
    lines.append(line("the photo itself, copied", mean_score([v.copy for v in verdicts])))
    return "\n".join(lines)


def line(name: str, score: Score | None) -> str:
    """One line of the table; without a score, its head."""
    figures = COLUMNS if score is None else [f"{getattr(score, column):.3f}" for column in COLUMNS]
    return f"{name[:64]:64s}" + "".join(f"{figure:>12s}" for figure in figures)


def _as_json(verdicts: list[Verdict]) -> list[dict[str, object]]:
    return [
        {
            **dataclasses.asdict(verdict.question) | {"exam": _exam(verdict)},
            "name": verdict.name,
            "caption": verdict.caption,
            "failed": verdict.failed,
            "seconds": round(verdict.seconds, 2),
            "mesh": _plain(verdict.mesh),
            "field": _plain(verdict.field),
            "copy": _plain(verdict.copy),
        }
        for verdict in verdicts
    ]


def _exam(verdict: Verdict) -> int | str:
    exam = verdict.question.exam
    return exam if isinstance(exam, int) else exam.name


def _plain(score: Score) -> dict[str, float | None]:
    """A score as JSON values: null where there is no figure."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(score).items()}


def _write_sheet(path: Path, verdicts: list[Verdict]) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(np.concatenate([verdict.strip_HWC for verdict in verdicts])).save(path)
