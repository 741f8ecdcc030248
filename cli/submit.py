"""``lift3d-ray submit``: pictures by the folder, through Ray."""

from __future__ import annotations

import dataclasses
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from lift3d_ray.cli import options
from lift3d_ray.cli.remote import RemoteOrder
from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.recipes import Quality

if TYPE_CHECKING:
    from lift3d_ray.batch.summary import RunSummary

LONGEST_LIST = 20


def submit(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Output folder, path or URI; made if missing.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT...]", help="Pictures, folders, globs, Parquet tables; paths or URIs."),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts", metavar="FILE", help="Instead of pictures: a text file, one thing to draw and lift a line."
        ),
    ] = None,
    without_picture: Annotated[
        bool, typer.Option("--without-picture", hidden=True, help="Of `lift` alone; refused here in words.")
    ] = False,
    recipe: options.RecipeName = "make-it-3d",
    quality: options.QualityName = Quality.STANDARD,
    settings: options.Settings = None,
    bundle: options.BundleName = "toybox",
    models: options.MixedModels = None,
    weights: options.Weights = None,
    seed: options.Seed = 0,
    select: Annotated[
        str,
        typer.Option(
            "--select",
            metavar="auto|all|#N|WORDS",
            help="The main subject of each picture, every thing (an asset each), the N-th of them, or what it is.",
        ),
    ] = options.AUTO,
    best_of: options.BestOf = 1,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Optimisers at once; by default what the machine or cluster carries.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster to join ('auto' finds one); else a new one.")
    ] = None,
    grows: Annotated[
        bool, typer.Option("--grows", help="The cluster adds nodes on demand: ask for more than there is now.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also try again the pictures that were themselves at fault.")
    ] = False,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Have it done by this service (`lift3d-ray serve`).")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="API key of that service; better in LIFT3D_SUBMIT_KEY.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what there is to do.")] = False,
    offline: options.RunOffline = False,
    quiet: options.Quiet = False,
    json: options.AsJson = False,
) -> None:
    """Lift many pictures into one folder. What is there already is not lifted again."""
    from lift3d_ray.batch.progress import show
    from lift3d_ray.batch.submit import Options
    from lift3d_ray.batch.submit import submit as run

    if without_picture:
        raise ConfigError(
            "a run draws a picture for every prompt, and its gallery shows them beside the assets: "
            "to make a thing without a picture, use lift --prompt TEXT --without-picture"
        )
    chosen = options.chosen_recipe(recipe, quality, settings)
    if not inputs and prompts is None:
        raise ConfigError("nothing to lift: name pictures, folders, globs or tables, or give --prompts FILE")
    if server is not None:
        if prompts is not None or dry_run or workers is not None or address is not None or bundle != "toybox":
            raise ConfigError(
                "--server leaves bundle, workers and cluster to the service, and takes pictures: "
                "leave --prompts, --dry-run, --workers, --address and --bundle away"
            )
        order = RemoteOrder(
            recipe=recipe,
            quality=str(quality),
            settings=tuple(settings or ()),
            seed=seed,
            selection=select,
            best_of=best_of,
        )
        raise typer.Exit(_by_server(server, key, inputs or [], out, order, quiet=quiet, json=json))
    try:
        with show(quiet=quiet or dry_run, machine=json) as watch:
            summary = run(
                inputs or [],
                out,
                chosen,
                bundle=options.chosen_bundle(bundle, models, weights),
                seed=seed,
                selection=options.said(select),
                best_of=best_of,
                prompts=prompts,
                retry_failed=retry_failed,
                dry_run=dry_run,
                options=Options(address=address, workers=workers, grows=grows),
                on_progress=watch,
            )
    except InputError as error:
        # Pictures that are at fault are rows of the summary; what arrives here is a list that cannot be made.
        raise ConfigError(str(error)) from error
    if json:
        print(dumps(as_dict(summary, out)))
    elif not quiet:
        print("\n".join(in_words(summary, out)))
    raise typer.Exit(summary.exit_status)


def _by_server(
    server: str, key: str | None, inputs: list[str], out: str, order: RemoteOrder, *, quiet: bool, json: bool
) -> int:
    """The same by a service.

    Returns:
        The exit status.
    """
    from pathlib import Path

    from lift3d_ray.cli.remote import local_pictures, submit_to
    from lift3d_ray.client import LiftClient

    client, pictures = LiftClient(server, key=key), list(local_pictures(inputs))
    rows = submit_to(client, pictures, Path(out), order, (lambda line: None) if quiet or json else print)
    failed = sum(row.folder is None for row in rows)
    if json:
        told = [
            {
                "name": row.name,
                "id": None if row.lift is None else row.lift.id,
                "folder": None if row.folder is None else str(row.folder),
                "message": row.message,
            }
            for row in rows
        ]
        print(dumps({"event": "summary", "status": int(failed > 0), "rows": told}))
    elif not quiet:
        print(f"{len(rows)} pictures: {len(rows) - failed} lifted, {failed} failed")
    return int(failed > 0)


def gallery(out: str) -> str:
    """Where a run's gallery is."""
    return f"{out.rstrip('/')}/index.html"


def as_dict(summary: RunSummary, out: str) -> dict[str, object]:
    """A summary as plain JSON values."""
    return {
        "event": "summary",
        "status": summary.exit_status,
        **{
            field.name: getattr(summary, field.name)
            for field in dataclasses.fields(summary)
            if field.name not in ("failures", "left_out")
        },
        "failures": [
            {"name": row.name, "source": row.source, "code": row.error_code, "message": row.error_message}
            for row in summary.failures
        ],
        "left_out": list(summary.left_out),
        "gallery": gallery(out),
    }


def in_words(summary: RunSummary, out: str) -> list[str]:
    """A summary as lines for people: the counts, each failure with its reason, and where to look."""
    from lift3d_ray.batch.progress import duration

    counts = [
        (summary.done, "lifted"),
        (summary.skipped, "had before"),
        (summary.failed, "failed"),
        (summary.left, "to lift" if summary.dry_run else "not reached"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing to do"
    given = f"{summary.pictures} pictures"
    if summary.rows != summary.pictures:
        given += f" gave {summary.rows} rows"
    lines = [f"{given}: {told}; {duration(summary.seconds)}"]
    for row in summary.failures[:LONGEST_LIST]:
        lines.append(f"  failed  {row.name}  [{row.error_code}]  {row.error_message}")
    if summary.failed > LONGEST_LIST:
        lines.append(f"  ... and {summary.failed - LONGEST_LIST} more, all in {out.rstrip('/')}/manifest.parquet")
    if summary.unseen:
        lines.append(f"  {summary.unseen} pictures not looked at yet: how many things they hold is not known")
    if summary.left_out:
        lines.append(f"  left out {len(summary.left_out)} files that are no pictures")
    if summary.interrupted:
        lines.append("interrupted; the same command goes on where this one stopped")
    if not summary.dry_run:
        lines.append(f"gallery: {gallery(out)}")
    return lines
