"""``submit``: lift every picture of the inputs into one output folder, as far as that has not happened yet."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lift3d_ray.batch.board import RunState
from lift3d_ray.batch.inputs import Listing, list_inputs
from lift3d_ray.batch.interrupts import remembered_interrupts
from lift3d_ray.batch.prompts import list_prompts
from lift3d_ray.batch.route import Route, RunContext
from lift3d_ray.batch.summary import RunSummary
from lift3d_ray.batch.survey import is_here, survey
from lift3d_ray.batch.things import is_parted, picture_row, with_things
from lift3d_ray.errors import ConfigError, Lift3DError
from lift3d_ray.recipes import Recipe
from lift3d_ray.store.files import Folder, open_folder
from lift3d_ray.store.keys import Settings
from lift3d_ray.store.ledger import InputRow, Ledger
from lift3d_ray.store.manifest import compact
from lift3d_ray.store.publish import sweep
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import AUTOMATIC, Selection

if TYPE_CHECKING:
    from lift3d_ray.deployments.app import ServeArgs

Watch = Callable[[RunState], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run uses a cluster.

    Attributes:
        address: Ray cluster to join; None starts one on this machine.
        workers: optimizer actors at most; None leaves it to the machine.
        serve_args: how the models are hosted; None leaves it to the machine.
        grows: the cluster adds nodes on demand, so asking for more than there is now makes sense.
    """

    address: str | None = None
    workers: int | None = None
    serve_args: ServeArgs | None = None
    grows: bool = False


def submit(
    inputs: Sequence[str],
    out: str,
    recipe: Recipe,
    *,
    bundle: str = "toybox",
    seed: int = 0,
    selection: Selection = AUTOMATIC,
    best_of: int = 1,
    prompts: str | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    options: Options | None = None,
    on_progress: Watch | None = None,
    route: Route | None = None,
) -> RunSummary:
    """Lift pictures into an output folder.

    What the folder's ledger says is done is not done again, so the same call after an interruption, or after a kill,
    does what is missing. Where nothing is missing Ray is not started.

    Args:
        inputs: files, folders, globs or Parquet tables, by path or URI; empty where there are prompts.
        out: output folder, path or URI.
        recipe: the recipe.
        bundle: name or folder of the model bundle.
        seed: seed of the run; every picture derives its own from it.
        selection: what to lift of each picture; ``EVERY`` makes every thing in it a row of its own.
        best_of: lift each picture under so many seeds, side by side in its optimizer, and keep the best.
        prompts: a text file, by path or URI, with one prompt a line, from each of which a picture is drawn and lifted.
        retry_failed: lift again what failed because of the picture itself. Other failures are always tried again.
        dry_run: only say what there is to do.
        options: how to use a cluster.
        on_progress: told how the run stands, from a thread of its own, about twice a second.
        route: what to do with a picture; the real lift unless told otherwise.

    Returns:
        What became of every row.

    Raises:
        InputError: the inputs cannot be listed.
        ConfigError: the output folder or an option cannot be used.
        BundleError: the models cannot be loaded.
        ClusterError: the cluster cannot be reached, or the run does not fit it.
    """
    started = time.monotonic()
    folder = open_folder(out)
    listing = _listing(inputs, prompts, selection, folder)
    context = RunContext(
        run=f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}",
        out=folder.absolute,
        settings=_settings(recipe, bundle, seed, selection, best_of),
        recipe=recipe,
        bundle=bundle,
        app_name="models",
        selection=selection,
        retry_failed=retry_failed,
        best_of=best_of,
        draws=prompts is not None,
    )
    run = _Run(context=context, listing=listing, folder=folder, started=started, watch=on_progress)
    if dry_run:
        return run.summary(run.with_things(survey(listing, run.ledger, context.settings)), dry_run=True)
    folder.create()
    settled = run.all_settled()
    if settled is not None:
        return run.finish(settled)
    return run.lift(options or Options(), route)


def _listing(inputs: Sequence[str], prompts: str | None, selection: Selection, folder: Folder) -> Listing:
    if prompts is None:
        return list_inputs(inputs, out=folder)
    if inputs:
        raise ConfigError(
            f"a run lifts pictures or draws them from prompts, not both; got {list(inputs)} and {prompts}"
        )
    if selection != AUTOMATIC:
        raise ConfigError(f"a picture that is drawn holds one thing, and nothing to select; got {selection.text!r}")
    return list_prompts(prompts)


def _settings(recipe: Recipe, bundle: str, seed: int, selection: Selection, best_of: int) -> Settings:
    return Settings(
        recipe=recipe.name,
        quality=str(recipe.quality),
        recipe_digest=recipe.digest,
        bundle_digest=_bundle_digest(bundle),
        run_seed=seed,
        selection=selection.text,
        best_of=best_of,
    )


def _bundle_digest(bundle: str) -> str:
    if bundle == "analytic":
        return bundle
    from lift3d_ray.models.bundle import load_bundle

    return load_bundle(bundle).digest


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run into one folder."""

    context: RunContext
    listing: Listing
    folder: Folder
    started: float
    watch: Watch | None

    @property
    def ledger(self) -> Ledger:
        return Ledger(folder=self.folder)

    def all_settled(self) -> list[InputRow] | None:
        """The input rows if none of them is left to lift, else None. Stops looking at the first that is."""
        if not is_here(self.listing):
            return None
        rows = []
        for picture in survey(self.listing, self.ledger, self.context.settings):
            for row in self.with_things([picture]):
                outcome = self.ledger.get(row.key)
                if self._is_open(outcome) and not is_parted(outcome):
                    return None
                rows.append(row)
        return rows

    def with_things(self, rows: Iterable[InputRow]) -> list[InputRow]:
        """The rows, and beside parted pictures those of their things."""
        if not self.context.selection.every:
            return list(rows)
        return with_things(rows, self.ledger, self.context.settings)

    def lift(self, options: Options, route: Route | None) -> RunSummary:
        """Start what is needed, stream everything through it, and write down what came of it."""
        from lift3d_ray.batch.lifting_route import LIFTING
        from lift3d_ray.batch.running import run_on_cluster

        self._tell("starting Ray")
        rows: dict[str, InputRow] = {}
        interrupted = False
        try:
            with remembered_interrupts() as check_interrupt:
                run_on_cluster(
                    self.listing,
                    self.context,
                    options,
                    route or LIFTING,
                    rows=rows,
                    watch=self._tell_state,
                    check_interrupt=check_interrupt,
                )
        except KeyboardInterrupt:
            interrupted = True
        except (Lift3DError, SystemExit):
            # SystemExit is how Ray passes on a SIGTERM.
            self.finish(list(rows.values()))
            raise
        return self.finish(list(rows.values()), interrupted=interrupted)

    def finish(self, rows: list[InputRow], *, interrupted: bool = False) -> RunSummary:
        """Write the manifest and the gallery.

        Args:
            rows: the input rows that came out of the pipeline.
            interrupted: the pipeline was stopped.
        """
        from lift3d_ray.export.gallery import gallery_files

        rows = self.with_things(rows)
        if rows:
            self.ledger.put_rows(self.context.run, rows)
        outcomes = compact(self.ledger)
        for name, data in gallery_files(outcomes).items():
            self.folder.write(name, data)
        # What had an outcome but had not come out yet when the pipeline stopped.
        rows = self.with_things([*rows, *self._unseen(rows, outcomes)])
        sweep(self.folder)
        return self.summary(rows, interrupted=interrupted)

    def _unseen(self, rows: list[InputRow], outcomes: list[Outcome]) -> list[InputRow]:
        seen = {row.source for row in rows}
        return [
            picture_row(outcome, self.context.settings)
            for outcome in outcomes
            if outcome.run == self.context.run and outcome.source not in seen
        ]

    def summary(self, rows: list[InputRow], *, interrupted: bool = False, dry_run: bool = False) -> RunSummary:
        """Count what became of the rows."""
        outcomes = self.ledger.get_many({row.key for row in rows})
        parted = {row.source: outcomes[row.key].things for row in rows if is_parted(outcomes.get(row.key))}
        told = {
            row.source: outcomes[row.key].told_as(name=row.name, source=row.source)
            for row in rows
            if row.key in outcomes and row.source not in parted and not (dry_run and self._is_open(outcomes[row.key]))
        }
        count = self.listing.rows + sum(parted.values()) - len(parted)
        looked_at = len(parted) + len({row.source for row in rows if not row.thing} & told.keys())
        failures = [outcome for outcome in told.values() if outcome.status == "failed"]
        done = sum(outcome.status == "done" and outcome.run == self.context.run for outcome in told.values())
        return RunSummary(
            rows=count,
            done=done,
            skipped=len(told) - len(failures) - done,
            failed=len(failures),
            left=count - len(told),
            failures=tuple(failures),
            left_out=self.listing.left_out,
            seconds=time.monotonic() - self.started,
            out=self.folder.absolute,
            run=self.context.run,
            interrupted=interrupted,
            dry_run=dry_run,
            pictures=self.listing.rows,
            unseen=self.listing.rows - looked_at if self.context.selection.every else 0,
        )

    def _is_open(self, outcome: Outcome | None) -> bool:
        return outcome is None or outcome.is_open(run=self.context.run, retry_failed=self.context.retry_failed)

    def _tell(self, phase: str) -> None:
        self._tell_state(RunState(phase=phase, rows=self.listing.rows))

    def _tell_state(self, state: RunState) -> None:
        if self.watch is not None:
            self.watch(replace(state, elapsed_s=time.monotonic() - self.started))
