"""``lift3d-ray evaluate``: lifts measured against toys that training never saw."""

from __future__ import annotations

import dataclasses
import math
import sys
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.recipes import Quality, by_name

if TYPE_CHECKING:
    from lift3d_ray.evaluate import Exam, Score
    from lift3d_ray.types import Asset

COLUMNS = ("psnr", "ssim", "iou", "chamfer")


def evaluate(
    count: Annotated[int, typer.Option("--count", min=1, help="Held-out toys to lift and judge.")] = 24,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    bundle: options.BundleName = "toybox",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
    json: options.AsJson = False,
) -> None:
    """Lift held-out toys, given nothing but a picture, and compare the meshes with the truth from 24 other sides."""
    chosen = by_name(recipe, quality)

    from lift3d_ray.evaluate import run_exams
    from lift3d_ray.lifting import lift, load_tools
    from lift3d_ray.models.bundle import load_bundle, load_models

    weights = load_bundle(bundle)
    models, tools = load_models(weights, device=device), load_tools(weights, device=device)
    rows: list[tuple[str, Score]] = []

    def lifted(exam: Exam) -> Asset:
        return lift(exam.photo, models, chosen, seed=seed, tools=tools)

    def told(exam: Exam, asset: Asset, score: Score) -> None:
        rows.append((exam.photo.name, score))
        if not quiet:
            print(line(f"{exam.photo.name} ({asset.perception.caption})", score), file=sys.stderr, flush=True)

    mean, copy = run_exams(count, lifted, told=told)
    if json:
        figures = {"mean": mean, "copy": copy, **dict(rows)}
        print(dumps({name: _plain(score) for name, score in figures.items()}, indent=2))
        return
    print(line("", None))
    print(line(f"mesh, mean of {count}", mean))
    print(line("the photo itself, copied", copy))


def _plain(score: Score) -> dict[str, float | None]:
    """A score as JSON values: null where there is no figure."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(score).items()}


def line(name: str, score: Score | None) -> str:
    """One line of the table; without a score, its head."""
    figures = COLUMNS if score is None else [f"{getattr(score, column):.3f}" for column in COLUMNS]
    return f"{name[:56]:56s}" + "".join(f"{figure:>9s}" for figure in figures)
