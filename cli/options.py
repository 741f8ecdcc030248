"""Options that several commands share, and how points and boxes are written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli.offline import hubs_switched_off, offline
from lift3d_ray.recipes import RECIPES, Quality, Recipe, by_name

if TYPE_CHECKING:
    from lift3d_ray.subject.select import Selection

RecipeName = Annotated[str, typer.Option("--recipe", metavar="NAME", help=f"One of {', '.join(sorted(RECIPES))}.")]
QualityName = Annotated[Quality, typer.Option("--quality", help="How long a lift may take.")]
BundleName = Annotated[
    str, typer.Option("--bundle", metavar="NAME|DIR", help="Model bundle: toybox, one that was pulled, or a folder.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same assets; each picture its own.")]
BestOf = Annotated[
    int, typer.Option("--best-of", metavar="K", min=1, help="Lift under K seeds and keep the best; K times as long.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Exchange a number of the recipe, named as `recipes` prints it: refine.steps=80; more than once.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary; errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, for programs.")]
WEIGHTS_HELP = "Where pulled models lie; by default LIFT3D_WEIGHTS, else ~/.cache/lift3d-ray."
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", envvar="LIFT3D_WEIGHTS", help=WEIGHTS_HELP)
]
MixedModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="ROLE=NAME", help="Another published model in a role of the bundle, or none; more than once."
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where models and field compute.")]


def _promise(context: typer.Context, given: bool) -> bool:
    if given:
        context.with_resource(offline())
    return given


def _switch_off_hubs(context: typer.Context, given: bool) -> bool:
    if given:
        context.with_resource(hubs_switched_off())
    return given


Offline = Annotated[
    bool, typer.Option("--offline", callback=_promise, help="Connect to nothing: whatever tries is stopped.")
]
RunOffline = Annotated[
    bool,
    typer.Option("--offline", callback=_switch_off_hubs, help="No process of the run asks a model hub for anything."),
]


class Precision(StrEnum):
    """Of weights and passes of the shared models."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    AUTO = "auto"


Dtype = Annotated[
    Precision, typer.Option("--dtype", help="Precision of the shared models; auto: what the device computes fastest.")
]

Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the prior before it is asked; it needs a C++ compiler, or Triton.")
]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Lay the prior out for tensor cores: half precision on CUDA.")
]
SliceAttention = Annotated[
    bool, typer.Option("--slice-attention", help="The prior's attention in slices, where models plan says it saves.")
]

AUTO, ALL = "auto", "all"
"""Of ``--select``: the main subject, and every thing in the picture."""


def chosen_recipe(
    name: str, quality: Quality, settings: list[str] | None, *, words_alone: bool = False
) -> Recipe:
    """The named recipe, for words alone or not, with the numbers of ``--set`` exchanged."""
    from lift3d_ray.recipe_settings import with_settings

    plain = by_name(name, quality)
    if words_alone:
        from lift3d_ray.words_alone import words_recipe

        plain = words_recipe(plain)
    return with_settings(plain, settings or ())


def chosen_bundle(name: str, models: list[str] | None, weights: Path | None) -> str:
    """The bundle in one word, with other models in some roles, for this process and the others of its command."""
    from lift3d_ray.models.reference import reference

    return reference(name, models or (), weights)


def said(select: str) -> Selection:
    """What ``--select`` says: ``auto``, ``all``, one of all by its number (``#2``), or words for one."""
    from lift3d_ray.subject.spoken import spoken_selection

    return spoken_selection(select)


def parse_point(text: str) -> tuple[float, float]:
    """``210,340`` as (x, y)."""
    x, y = _numbers(text, 2, "a point is x,y in pixels, such as 210,340")
    return x, y


def parse_box(text: str) -> tuple[float, float, float, float]:
    """``10,20,200,300`` as (left, top, right, bottom)."""
    x0, y0, x1, y1 = _numbers(text, 4, "a box is left,top,right,bottom in pixels, such as 10,20,200,300")
    return x0, y0, x1, y1


def _numbers(text: str, count: int, wanted: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise typer.BadParameter(f"{wanted}; got {text!r}")
    return numbers
