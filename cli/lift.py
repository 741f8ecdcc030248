"""``lift3d-ray lift``: one picture, in this process, without Ray."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Quality, by_name

if TYPE_CHECKING:
    from lift3d_ray.subject.select import Selection

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def lift(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the asset's files; made if missing.")],
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
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="What it is, in place of the captioner's words.")
    ] = None,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    bundle: options.BundleName = "toybox",
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    quiet: options.Quiet = False,
) -> None:
    """Lift one picture in this process. Without a point or a box, its main subject is taken."""
    chosen = by_name(recipe, quality)
    selection = read_selection(photo, point or [], not_point or [], box)

    from lift3d_ray import lifting
    from lift3d_ray.batch.progress import duration
    from lift3d_ray.cli.progress import lift_watch
    from lift3d_ray.export.result import Provenance
    from lift3d_ray.export.write import GLB, write_asset
    from lift3d_ray.models.bundle import load_bundle, load_models
    from lift3d_ray.photo import load_photo
    from lift3d_ray.store.keys import picture_seed

    started = time.monotonic()
    picture = load_photo(photo)
    weights = load_bundle(bundle)
    with lift_watch(sys.stderr, quiet=quiet) as watch:
        asset = lifting.lift(
            picture,
            load_models(weights, device=device),
            chosen,
            # The seed that a run with this seed gives the picture, so that both make the same asset.
            seed=picture_seed(seed, picture.digest),
            tools=lifting.load_tools(weights, device=device),
            selection=selection,
            prompt=prompt,
            report=watch,
        )
    height_px, width_px = picture.rgb_HWC.shape[:2]
    provenance = Provenance(
        photo_name=picture.name,
        photo_digest=picture.digest,
        photo_height_px=height_px,
        photo_width_px=width_px,
        recipe=chosen.name,
        recipe_digest=chosen.digest,
        bundle=weights.name,
        bundle_digest=weights.digest,
    )
    written = write_asset(asset, out, provenance)
    if not quiet:
        print(f"{asset.perception.caption}: {written.folder / GLB} ({duration(time.monotonic() - started)})")


def read_selection(photo: Path, points: list[str], not_points: list[str], box: str | None) -> Selection:
    """What was pointed at, in pixels of the picture as it is on disk, turned upright.

    Raises:
        ConfigError: it contradicts itself or lies outside the picture.
        InputError: the picture cannot be read.
    """
    from lift3d_ray.photo import DEFAULT_LIMITS, PhotoLimits, load_photo
    from lift3d_ray.subject.select import AUTOMATIC, Selection

    if not points and not not_points and box is None:
        return AUTOMATIC
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
