"""``lift3d-ray lift``: one picture, in this process, without Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lift3d_ray.cli import options
from lift3d_ray.errors import ConfigError, Lift3DError
from lift3d_ray.recipes import Quality

if TYPE_CHECKING:
    from lift3d_ray.export.result import Provenance
    from lift3d_ray.lifting import SceneTools
    from lift3d_ray.models.roles import Models
    from lift3d_ray.recipes import Recipe
    from lift3d_ray.subject.select import Selection
    from lift3d_ray.types import MaskProposal, Photo

    Loaded = tuple[Models, SceneTools, Callable[..., Provenance]]

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def lift(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the asset's files; made if missing.")],
    photo: Annotated[
        Path | None, typer.Argument(metavar="[PHOTO]", help="A picture file; without one --prompt is drawn.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option("--point", metavar="X,Y", help="A pixel on the subject; may be given several times."),
    ] = None,
    not_point: Annotated[
        list[str] | None, typer.Option("--not-point", metavar="X,Y", help="A pixel that is not on the subject.")
    ] = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A box around the subject, in pixels.")
    ] = None,
    select: Annotated[
        str,
        typer.Option(
            "--select",
            metavar="auto|all|#N|WORDS",
            help="The main subject, every thing (a folder each), the N-th of them, or what it is: 'the blue mug'.",
        ),
    ] = options.AUTO,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", metavar="TEXT", help="What it is, in place of the captioner's words; or what to draw."
        ),
    ] = None,
    without_picture: Annotated[
        bool,
        typer.Option("--without-picture", help="Draw nothing: distil the thing from --prompt alone, from all sides."),
    ] = False,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    settings: options.Settings = None,
    bundle: options.BundleName = "toybox",
    models: options.MixedModels = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    best_of: options.BestOf = 1,
    stages: Annotated[
        bool, typer.Option("--stages", help="Also write stages.png: what each stage made of the picture.")
    ] = False,
    device: options.Device = "cpu",
    dtype: options.Dtype = options.Precision.FLOAT32,
    compiled: options.Compile = False,
    channels_last: options.ChannelsLast = False,
    slice_attention: options.SliceAttention = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Lift one picture in this process. Unless something is pointed at or named, its main subject is taken."""
    chosen = options.chosen_recipe(recipe, quality, settings, words_alone=without_picture)
    named = options.chosen_bundle(bundle, models, weights)
    tune = {"compile": compiled, "channels_last": channels_last, "slice_attention": slice_attention}
    load = partial(loaded, named, chosen, device=device, dtype=dtype, tune=tune)
    if without_picture:
        selects = select != options.AUTO or point or not_point or box
        if photo is not None or prompt is None or selects or best_of > 1 or stages:
            raise ConfigError(
                "--without-picture makes a thing from --prompt alone: no PHOTO, nothing to select in it, no "
                "--best-of, which compares lifts with their picture, and no --stages, which shows what became of it"
            )
        make(prompt, chosen, out, load=load, seed=seed, quiet=quiet)
        return
    if photo is None and prompt is None:
        raise ConfigError("nothing to lift: name a picture, or say with --prompt what to draw")
    if stages and best_of > 1:
        raise ConfigError("--stages shows one lift, --best-of makes several: leave one of them out")
    selection = read_selection(photo, point or [], not_point or [], box, select)

    from lift3d_ray.batch.progress import duration
    from lift3d_ray.best_of import lift_best
    from lift3d_ray.cli.progress import lift_watch
    from lift3d_ray.export.files import write_bytes
    from lift3d_ray.export.maps import png_bytes
    from lift3d_ray.export.write import GLB, write_asset
    from lift3d_ray.photo import load_photo
    from lift3d_ray.stages import lift_in_stages
    from lift3d_ray.store.keys import candidate_seeds, picture_seed, slug
    from lift3d_ray.subject.select import Selection, every_subject

    opened = None if photo is None else load_photo(photo)
    shared, tools, described = load()
    picture = drawn(prompt or "", shared, tools, seed) if opened is None else opened
    height_px, width_px = picture.rgb_HWC.shape[:2]
    provenance = described(
        photo_name=picture.name, photo_digest=picture.digest, photo_height_px=height_px, photo_width_px=width_px
    )

    def lift_one(mask: MaskProposal | None, thing: int) -> None:
        """One thing of the picture, counted from 1; several have a folder each."""
        started = time.monotonic()
        with lift_watch(sys.stderr, quiet=quiet) as watch:
            # The seeds that a run with this seed gives the picture, so that both make the same asset.
            seeds = candidate_seeds(picture_seed(seed, picture.digest, thing), best_of)
            asked: Any = {"tools": tools, "selection": selection, "mask": mask, "prompt": prompt, "report": watch}
            sheet = None
            if stages:
                asset, sheet = lift_in_stages(picture, shared, chosen, seed=seeds[0], **asked)
            else:
                asset = lift_best(picture, shared, chosen, seeds=seeds, **asked)
        caption = asset.perception.caption
        folder = out if mask is None else out / f"{thing:02d}-{slug(caption)}"
        chosen_as = selection if mask is None else Selection(thing=thing)
        written = write_asset(asset, folder, replace(provenance, selection=chosen_as.text))
        if sheet is not None:
            write_bytes(folder / "stages.png", png_bytes(sheet))
        if not quiet:
            print(f"{caption}: {written.folder / GLB} ({duration(time.monotonic() - started)})")
            if asset.remarks:
                print("\n".join(asset.remarks))

    if select != options.ALL:
        lift_one(None, selection.thing)
        return
    failed = 0
    for thing, mask in enumerate(every_subject(picture, shared.segmenter), start=1):
        try:
            lift_one(mask, thing)
        except Lift3DError as error:
            # One thing's trouble is not the others'.
            print(f"lift3d-ray: thing {thing}: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise typer.Exit(1)


def loaded(
    bundle: str, recipe: Recipe, *, device: str, dtype: str, tune: Mapping[str, bool]
) -> Loaded:
    """The shared models of a bundle, what a scene keeps to itself, and a provenance that lacks only its picture."""
    from lift3d_ray.devices import check_device, chosen_dtype
    from lift3d_ray.export.result import Provenance
    from lift3d_ray.lifting import load_tools
    from lift3d_ray.models.bundle import load_bundle, load_models
    from lift3d_ray.models.tuning import Tuning

    opened = load_bundle(bundle)
    check_device(device)
    precision = chosen_dtype(dtype, device)
    models = load_models(opened, device=device, dtype=precision, tuning=Tuning(**tune))
    tools = load_tools(opened, recipe=recipe, device=device)
    described = partial(
        Provenance,
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        bundle=opened.name,
        bundle_digest=opened.digest,
        dtype=str(precision).removeprefix("torch."),
    )
    return models, tools, described


def make(prompt: str, recipe: Recipe, out: Path, *, load: Callable[[], Loaded], seed: int, quiet: bool) -> None:
    """An asset from words alone."""
    from lift3d_ray.batch.progress import duration
    from lift3d_ray.cli.progress import lift_watch
    from lift3d_ray.export.write import GLB, write_asset
    from lift3d_ray.lifting import optimize
    from lift3d_ray.store.keys import picture_seed, prompt_digest
    from lift3d_ray.words_alone import words_perception

    perception = words_perception(prompt, recipe)
    words, side = perception.caption, len(perception.subject.alpha_HW)
    models, tools, described = load()
    digest, started = prompt_digest(words), time.monotonic()
    with lift_watch(sys.stderr, quiet=quiet) as watch:
        asset = optimize(perception, models.prior, recipe, seed=picture_seed(seed, digest), tools=tools, report=watch)
    provenance = described(photo_name=words, photo_digest=digest, photo_height_px=side, photo_width_px=side)
    written = write_asset(asset, out, provenance)
    if not quiet:
        print(f"{words}: {written.folder / GLB} ({duration(time.monotonic() - started)})")
        print("\n".join(asset.remarks))


def drawn(prompt: str, models: Models, tools: SceneTools, seed: int) -> Photo:
    """The picture that a run with this seed draws from these words."""
    import torch

    from lift3d_ray.guidance.drawing import draw_photo
    from lift3d_ray.store.keys import picture_seed, prompt_digest

    words = " ".join(prompt.split())
    digest = prompt_digest(words)
    generator = torch.Generator().manual_seed(picture_seed(seed, digest))
    return draw_photo(words, models.prior, models.clip, tools.codec, tools.schedule, digest=digest, generator=generator)


def read_selection(
    photo: Path | None, points: list[str], not_points: list[str], box: str | None, select: str = options.AUTO
) -> Selection:
    """What was pointed at, in pixels of the picture as it is on disk, turned upright, or said in words.

    Raises:
        ConfigError: it contradicts itself or lies outside the picture.
        InputError: the picture cannot be read.
    """
    from lift3d_ray.photo import DEFAULT_LIMITS, PhotoLimits, load_photo
    from lift3d_ray.subject.select import Selection

    pointed = bool(points or not_points or box is not None)
    if pointed and select != options.AUTO:
        raise ConfigError(f"a subject is pointed at or selected, not both; got points or a box and --select {select!r}")
    if photo is None and (pointed or select != options.AUTO):
        raise ConfigError("a picture that is drawn holds one thing: points, boxes and --select need a PHOTO")
    if photo is None or not pointed:
        return options.said(select)
    clicks: list[Point] = [options.parse_point(text) for text in [*points, *not_points]]
    edges: Box | None = None if box is None else options.parse_box(box)
    # Pixels are counted at the file's own size, which the working size may be smaller than.
    whole = load_photo(photo, limits=PhotoLimits(working_side_px=DEFAULT_LIMITS.max_pixels))
    height_px, width_px = whole.rgb_HWC.shape[:2]
    for x, y in [*clicks, *([] if edges is None else [edges[:2], edges[2:]])]:
        if not (0 <= x <= width_px and 0 <= y <= height_px):
            raise ConfigError(f"({x:g}, {y:g}) lies outside the picture, which has {width_px} x {height_px} pixels")
    return Selection.from_pixels(
        width_px=width_px,
        height_px=height_px,
        points_xy_px=clicks,
        labels=(True,) * len(points) + (False,) * len(not_points),
        box_xyxy_px=edges,
    )
