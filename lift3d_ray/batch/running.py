"""A run on a cluster: start Ray and the models, stream the rows through in passes, and watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError, RayTaskError

from lift3d_ray.batch import cluster
from lift3d_ray.batch.board import PriorLoad, RunState
from lift3d_ray.batch.inputs import Listing
from lift3d_ray.batch.link import BoardLink, open_board
from lift3d_ray.batch.pipeline import build_pipeline, data_settings
from lift3d_ray.batch.resources import Share, check_fit, share_out
from lift3d_ray.batch.route import Route, RunContext
from lift3d_ray.batch.stages import Row, ending_of
from lift3d_ray.batch.units import InputUnit
from lift3d_ray.deployments.app import APP_NAME
from lift3d_ray.deployments.failures import model_error
from lift3d_ray.deployments.handles import connect_prior
from lift3d_ray.errors import ClusterError, Lift3DError
from lift3d_ray.store.claims import claim
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.ledger import InputRow, Ledger

if TYPE_CHECKING:
    from lift3d_ray.batch.submit import Options

LOOK_EVERY_S = 0.5
PRIOR_EVERY_S = 2.0
_FRUITLESS_PASSES = 3

Watch = Callable[[RunState], None]
Rows = dict[str, InputRow]


def run_on_cluster(
    listing: Listing,
    context: RunContext,
    options: Options,
    route: Route,
    *,
    rows: Rows,
    watch: Watch,
    check_interrupt: Callable[[], None],
) -> None:
    """Lift every row of a listing.

    Args:
        listing: what to read.
        context: the run.
        options: how to use a cluster.
        route: what to do with a picture.
        rows: filled with the input rows, by source, as they come out, so that an interruption leaves what is known.
        watch: told how the run stands.
        check_interrupt: called after every row; raises to stop.

    Raises:
        BundleError: the models did not start.
        ClusterError: the cluster cannot be reached, the run does not fit it, or the pipeline stopped.
    """
    with cluster.ray_cluster(options.address) as own, data_settings():
        watch(RunState(phase="loading the models", rows=listing.rows))
        with (
            _models(context, options, route, own=own) as (context, share),
            open_board(listing.rows, parts=context.selection.every) as board,
        ):
            passes = _Passes(
                context=context,
                board=board,
                units=dict(enumerate(listing.units)),
                rows=rows,
                check_interrupt=check_interrupt,
            )
            with _watching(board, context, route, watch):
                passes.run(lambda units: build_pipeline(units, context, route, board, share))


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """Streams units through the pipeline until every row has an outcome.

    One pass does, unless rows hold the same picture, or another run is lifting some of them: those that were left to
    another come again if the other did not finish them.

    Attributes:
        context: the run.
        board: the run's board.
        units: what to read, by number.
        rows: filled with the input rows, by source.
        check_interrupt: called after every row.
    """

    context: RunContext
    board: BoardLink
    units: Mapping[int, InputUnit]
    rows: Rows
    check_interrupt: Callable[[], None]

    def run(self, build: Callable[[Mapping[int, InputUnit]], ray.data.Dataset]) -> None:
        """Passes that settle nothing end the run; its summary then says what is left."""
        ledger = Ledger(folder=open_folder(self.context.out))
        units, open_before, fruitless = self.units, -1, 0
        while units and fruitless < _FRUITLESS_PASSES:
            left = self._stream(build(units))
            open_keys = self._wait_for_others(ledger, {str(row["key"]) for row in left})
            for row in left:
                outcome = ledger.get(row["key"])
                if outcome is not None and row["key"] not in open_keys:
                    self.board.end(row["key"], row["source"], ending_of(outcome, self.context.run))
            fruitless = fruitless + 1 if len(open_keys) == open_before else 0
            open_before = len(open_keys)
            numbers = {int(row["unit"]) for row in left if row["key"] in open_keys}
            units = {number: self.units[number] for number in sorted(numbers)}

    def _stream(self, dataset: ray.data.Dataset) -> list[Row]:
        """Run a pipeline to its end.

        Returns:
            The rows that were left to another.
        """
        left = []
        try:
            for row in dataset.iter_rows():
                names = ("source", "name", "key", "stamp", "thing")
                known = InputRow(picture_digest=row["picture"], **{name: row[name] for name in names})
                self.rows[known.source] = known
                if row["ended"] == "elsewhere":
                    left.append(row)
                self.check_interrupt()
        except RayTaskError as error:
            inner = model_error(error)
            if isinstance(inner, Lift3DError):
                raise inner from error
            raise ClusterError(f"the pipeline stopped: {inner}; what is finished stays, submit again") from error
        except RayError as error:
            raise ClusterError(f"the pipeline stopped: {error}; what is finished stays, submit again") from error
        return left

    def _wait_for_others(self, ledger: Ledger, keys: Iterable[str]) -> set[str]:
        """Wait while other runs lift all that is still open.

        Returns:
            Keys that are open, at least one of which nobody is lifting; empty when none is.
        """
        while True:
            open_keys = {key for key in keys if self._is_open(ledger, key)}
            if not open_keys or any(self._is_free(ledger, key) for key in open_keys):
                return open_keys
            self.check_interrupt()
            time.sleep(LOOK_EVERY_S)

    def _is_open(self, ledger: Ledger, key: str) -> bool:
        outcome = ledger.get(key)
        return outcome is None or outcome.is_open(run=self.context.run, retry_failed=self.context.retry_failed)

    def _is_free(self, ledger: Ledger, key: str) -> bool:
        with claim(ledger.folder, key) as mine:
            return mine and self._is_open(ledger, key)


@contextmanager
def _models(context: RunContext, options: Options, route: Route, *, own: bool) -> Iterator[tuple[RunContext, Share]]:
    """The models, served for the length of the run, and what is left for the optimizers.

    An application ``models`` that somebody else runs on the cluster is used if it serves the same bundle. Otherwise the
    run starts one of its own, and takes it away at its end.
    """
    there = cluster.capacity()

    def shared_out(demand: Mapping[str, float]) -> Share:
        share = share_out(there, demand, options.workers)
        if options.grows:
            return replace(share, at_once=1)
        check_fit(there, demand, share)
        return share

    if not route.needs_models or cluster.served_bundle() == context.settings.bundle_digest:
        yield context, shared_out({})
        return
    args = options.serve_args or cluster.default_serve_args(context.bundle, there)
    share = shared_out(args.demand())
    name = APP_NAME if own else f"{APP_NAME}-{context.run}"
    with cluster.models_application(args, name):
        yield replace(context, app_name=name), share


@contextmanager
def _watching(board: BoardLink, context: RunContext, route: Route, watch: Watch) -> Iterator[None]:
    """Tell how the run stands, from a thread, until the block ends; and once more then."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(board, context, route, watch, stop), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)


def _watch(board: BoardLink, context: RunContext, route: Route, watch: Watch, stop: threading.Event) -> None:
    prior, asked = PriorLoad(), 0.0
    while True:
        last = stop.wait(LOOK_EVERY_S)
        if route.needs_models and not last and time.monotonic() - asked > PRIOR_EVERY_S:
            prior, asked = _prior_load(context.app_name) or prior, time.monotonic()
        try:
            state = board.state(10.0)
        except RayError:
            if last:
                return
            continue
        watch(replace(state, prior=prior))
        if last:
            return


def _prior_load(app_name: str) -> PriorLoad | None:
    """How busy the prior is, or None where it does not say."""
    try:
        statistics = connect_prior(app_name).statistics()
    except (Lift3DError, RayError):
        return None
    return PriorLoad(mean_batch=statistics.mean_batch, utilisation=statistics.utilisation, queries=statistics.queries)
