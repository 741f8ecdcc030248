"""``lift3d-ray edit``: other colours for a lifted asset, its geometry as it is; in this process, without Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import Quality

if TYPE_CHECKING:
    from lift3d_ray.edit import LiftedAsset
    from lift3d_ray.export.result import EditFacts, Provenance
    from lift3d_ray.models.bundle import Bundle
    from lift3d_ray.recipes import Recipe


def edit(
    asset: Annotated[Path, typer.Argument(metavar="ASSET", help="The folder of one asset, of lift, submit or edit.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the edited asset's files; made if missing.")
    ],
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="What it should become: 'a golden duck'.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="FILE", help="The asset's subject.png (or the photo it was lifted from), edited."
        ),
    ] = None,
    quality: options.QualityName = Quality.STANDARD,
    settings: options.Settings = None,
    bundle: options.BundleName = "toybox",
    models: options.MixedModels = None,
    weights: options.Weights = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same colours.")] = 0,
    device: options.Device = "cpu",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Give a lifted asset other colours, by words or by an edited picture of it. Its geometry stays as it is."""
    if (prompt is None) == (picture is None):
        told = "neither" if prompt is None else "both"
        raise ConfigError(f"an edit goes by --prompt TEXT or by --picture FILE, got {told}: say one of them")
    if prompt is not None and not prompt.strip():
        raise ConfigError("--prompt is empty: say what the asset should become, such as 'a golden duck'")
    if out.resolve() == asset.resolve():
        raise ConfigError(f"--out names the asset itself, {asset}: edits are written beside it, name another folder")

    from lift3d_ray import lifting
    from lift3d_ray.batch.progress import duration
    from lift3d_ray.cli.progress import lift_watch
    from lift3d_ray.edit import edit_by_picture, edit_by_prompt, edited_subject, read_lifted
    from lift3d_ray.export.result import EditFacts
    from lift3d_ray.export.write import GLB, write_asset
    from lift3d_ray.models.bundle import load_bundle, load_models
    from lift3d_ray.photo import load_photo

    started = time.monotonic()
    opened = load_bundle(options.chosen_bundle(bundle, models, weights))
    chosen = chosen_recipe(opened, quality, settings, by_words=prompt is not None)
    lifted = read_lifted(asset, texture_px=chosen.refine.texture_px)
    photo = None if picture is None else load_photo(picture)
    subject, framing = (None, None) if photo is None else edited_subject(photo, lifted)
    shared, tools = load_models(opened, device=device), lifting.load_tools(opened, device=device)
    with lift_watch(sys.stderr, quiet=quiet) as watch:
        edited = (
            edit_by_prompt(lifted, prompt or "", shared, chosen, seed=seed, tools=tools, report=watch)
            if subject is None
            else edit_by_picture(lifted, subject, shared, chosen, seed=seed, tools=tools, report=watch)
        )
    facts = EditFacts(
        asset=lifted.name,
        glb_sha256=lifted.glb_sha256,
        caption=lifted.perception.caption,
        prompt=prompt,
        picture_name=None if photo is None else photo.name,
        picture_digest=None if photo is None else photo.digest,
        picture_framing=framing,
    )
    written = write_asset(edited, out, provenance(lifted, opened, chosen, facts))
    if not quiet:
        print(f"{edited.perception.caption}: {written.folder / GLB} ({duration(time.monotonic() - started)})")
    warn_if_unheard(edited.metrics)


def warn_if_unheard(metrics: Mapping[str, float]) -> None:
    """Say on stderr where an edit by words did not bring its asset nearer to them."""
    after, before = metrics.get("words"), metrics.get("words_before")
    if after is not None and before is not None and after <= before:
        print(
            f"lift3d-ray: in CLIP's eyes the asset agrees no better with the words than before ({after:.2f}, was "
            f"{before:.2f}): the bundle's text prior may not know them; say it otherwise, or edit by --picture",
            file=sys.stderr,
        )


def chosen_recipe(bundle: Bundle, quality: Quality, settings: list[str] | None, *, by_words: bool) -> Recipe:
    """The numbers of an edit, those of ``--set`` exchanged."""
    from lift3d_ray.edit import picture_recipe, prompt_recipe
    from lift3d_ray.recipe_settings import with_settings

    with_depth = bundle.optional_path("controlnet") is not None
    recipe = prompt_recipe(quality, with_depth=with_depth) if by_words else picture_recipe(quality)
    return with_settings(recipe, settings or ())


def provenance(lifted: LiftedAsset, bundle: Bundle, recipe: Recipe, facts: EditFacts) -> Provenance:
    """The photo and selection of the asset that was edited, the recipe and bundle of the edit."""
    from lift3d_ray.export.result import Provenance

    return Provenance(
        photo_name=lifted.photo["name"],
        photo_digest=lifted.photo["digest"],
        photo_height_px=lifted.photo["height_px"],
        photo_width_px=lifted.photo["width_px"],
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        bundle=bundle.name,
        bundle_digest=bundle.digest,
        selection=lifted.selection,
        edit=facts,
    )
