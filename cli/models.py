"""``lift3d-ray models``: which weights there are, what they are for, and how they were made."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.errors import BundleError, ClusterError
from lift3d_ray.recipes import Quality

CARD = "README.md"

app = typer.Typer(
    help="The model bundles: list them, bring published ones, read their card, train the embedded one.",
    no_args_is_help=True,
)

BundleName = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="An embedded bundle, or a folder with a bundle.json.")
]


@app.command("list")
def list_bundles(weights: options.Weights = None, offline: options.Offline = False) -> None:
    """List the bundles and models: embedded and published, their sizes and licences, and what is pulled."""
    from lift3d_ray.models.bundle import BUNDLES_FOLDER, load_bundle
    from lift3d_ray.models.catalog import bundle_specs, model_entries
    from lift3d_ray.models.reference import size_in_words
    from lift3d_ray.models.weights import is_pulled, weights_folder

    for facts in sorted(BUNDLES_FOLDER.glob("*/bundle.json")):
        bundle = load_bundle(facts.parent.name)
        sizes = {role: sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) for role, folder in bundle.roles}
        # A folder may play several roles; it is there once.
        whole = sum({folder: sizes[role] for role, folder in bundle.roles}.values())
        print(f"{bundle.name}  {whole / 1e6:.1f} MB  digest {bundle.digest}  {bundle.folder}")
        for role, size_bytes in sizes.items():
            print(f"  {role:14s} {size_bytes / 1e6:6.2f} MB")
    folder = weights_folder(weights)
    print(f"\npublished bundles, pulled into {folder}")
    for spec in bundle_specs().values():
        entries = spec.entries()
        pulled = sum(is_pulled(entry, folder) for entry in entries)
        print(f"  {spec.name:12s} {pulled} of {len(entries)} models pulled  {size_in_words(entries)}  {spec.about}")
    print("\npublished models, for a role by --model ROLE=NAME")
    for entry in model_entries().values():
        state = "pulled" if is_pulled(entry, folder) else "-"
        print(f"  {entry.name:26s} {state:8s} {size_in_words([entry])}  {entry.licence}  {', '.join(entry.roles)}")


@app.command("pull")
def pull_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Published bundles or models, as listed.")],
    weights: Annotated[
        Path | None,
        typer.Option("--to", "--weights", metavar="DIR", envvar="LIFT3D_WEIGHTS", help=options.WEIGHTS_HELP),
    ] = None,
    models: options.MixedModels = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring published models, verified; broken off and typed again, it goes on where it was."""
    from lift3d_ray.cli.progress import pull_watch
    from lift3d_ray.models.reference import wanted_models
    from lift3d_ray.models.weights import pull, weights_folder, write_bundle

    folder = weights_folder(weights)
    specs, entries = wanted_models(names, models or ())
    with pull_watch(sys.stderr, quiet=quiet) as watch:
        pull(entries, folder, watch=watch)
    written = [write_bundle(spec, folder) for spec in specs]
    if not quiet:
        print(f"{len(entries)} models are whole in {folder}")
        for spec, bundle in zip(specs, written, strict=True):
            print(f"{spec.name}: {bundle}")


@app.command("check")
def check(
    bundle: BundleName = "toybox",
    weights: options.Weights = None,
    models: options.MixedModels = None,
    forward: Annotated[bool, typer.Option("--forward/--no-forward", help="Ask every model once.")] = True,
    device: options.Device = "cpu",
    offline: options.Offline = False,
) -> None:
    """Open every file of a bundle, compare names, shapes and digests with what is wanted, and ask every model once."""
    from lift3d_ray.devices import check_device
    from lift3d_ray.models.bundle import load_bundle
    from lift3d_ray.models.checking import check_files, check_forward

    check_device(device)
    opened = load_bundle(options.chosen_bundle(bundle, models, weights))
    faults = 0
    for finding in itertools.chain(check_files(opened), check_forward(opened, device=device) if forward else ()):
        faults += finding.fault is not None
        said = finding.detail if finding.fault is None else f"FAULT {finding.fault}"
        print(f"{finding.role:14s} {finding.subject}: {said}", flush=True)
    print(f"{opened.name}: {f'{faults} faults' if faults else 'as it should be'}")
    if faults:
        raise typer.Exit(1)


@app.command("plan")
def plan(
    gpus: Annotated[str, typer.Option("--gpus", metavar="GIB,...", help="Memory of every GPU, such as 24,24,16.")],
    bundle: BundleName = "toybox",
    models: options.MixedModels = None,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    settings: options.Settings = None,
    dtype: options.Dtype = options.Precision.FLOAT16,
    weights: options.Weights = None,
    offline: options.Offline = False,
) -> None:
    """Say what a bundle, pulled or not, needs of GPUs under a recipe, and what fits where, before anything starts."""
    chosen = options.chosen_recipe(recipe, quality, settings)

    from lift3d_ray.devices import chosen_dtype
    from lift3d_ray.guidance.answerable import answerable
    from lift3d_ray.models.plan import (
        in_words,
        left_out,
        most_scenes,
        place,
        plan_actors,
        planned_roles,
        read_gpus,
        roles_to_slice,
        sliced_roles,
    )
    from lift3d_ray.models.reference import read_choices

    sizes, precision = read_gpus(gpus), chosen_dtype(dtype, "cuda")
    planned = planned_roles(bundle, read_choices(models or ()))
    asked = answerable(
        chosen, views=planned.has_view_prior, depth=planned.has_depth_prior, words=not planned.takes_depth
    )
    shared, optimizer = plan_actors(planned, asked, precision)
    said = str(precision).removeprefix("torch.")
    print(f"{planned.name}, {chosen.name} {chosen.quality.value}, shared models in {said}")
    try:
        placed = place(shared, optimizer, sizes, scenes=most_scenes(asked))
    except ClusterError:
        print("\n".join(in_words(shared, optimizer, ())))
        sliced = roles_to_slice(shared, sliced_roles(planned, asked, precision), optimizer, sizes)
        helps = f"{', '.join(sliced)} would fit so (slice_attention)" if sliced else "would not fit either"
        print(f"attention in slices: {helps}")
        raise
    print("\n".join([*in_words(shared, optimizer, placed), *left_out(asked)]))


@app.command("card")
def card(bundle: BundleName = "toybox", weights: options.Weights = None, offline: options.Offline = False) -> None:
    """Print a bundle's model card: data, training, held-out figures, what it is for and not for."""
    from lift3d_ray.models.bundle import load_bundle

    path = load_bundle(options.chosen_bundle(bundle, None, weights)).folder / CARD
    try:
        print(path.read_text(encoding="utf-8"), end="")
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): the bundle has no model card") from error


@app.command("train")
def train(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The bundle to train: toybox.")] = "toybox",
    role: Annotated[list[str] | None, typer.Option("--role", help="Train this role only; may be repeated.")] = None,
    work: Annotated[Path, typer.Option("--work", help="Data, checkpoints, logs, sheets.")] = Path("training"),
    out: Annotated[Path | None, typer.Option("--out", help="Bundle folder to write; default: inside --work.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps instead of each role's own.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads to compute with.")] = 1,
    device: options.Device = "cpu",
    loaders: Annotated[
        int, typer.Option("--loaders", min=0, help="Processes that draw batches ahead; some for a GPU.")
    ] = 0,
    effort: Annotated[
        str, typer.Option("--effort", help="How much data and how many steps: cores (hours on two), or gpu.")
    ] = "cores",
) -> None:
    """Train the embedded bundle on the procedural world; run again, it goes on where it stopped."""
    if bundle != "toybox":
        raise BundleError(f"only the embedded bundle 'toybox' can be trained here, got {bundle!r}")

    from lift3d_ray.toybox.training.train import run

    run(
        role or [],
        work=work,
        bundle=out or work / "toybox",
        threads=threads,
        device=device,
        loaders=loaders,
        effort=effort,
        steps=steps,
    )
