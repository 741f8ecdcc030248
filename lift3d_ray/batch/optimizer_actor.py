"""The per-scene optimizer: one picture at a time, from perception to published asset."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lift3d_ray.batch.failures import Failure, attempt
from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Perceived, Report, Route, RunContext, provenance_of
from lift3d_ray.batch.stages import Row, RowBook, one_row, recorded
from lift3d_ray.store.claims import claim
from lift3d_ray.store.keys import folder_name, picture_seed, thing_folder_name
from lift3d_ray.store.publish import publish
from lift3d_ray.store.schema import Outcome
from lift3d_ray.types import Progress

if TYPE_CHECKING:
    from lift3d_ray.batch.link import BoardLink

REPORT_EVERY_S = 0.25


class OptimizeScenes:
    """Rows with perceptions -> recorded rows, their assets in place and in the ledger. An actor's class.

    The asset is written here rather than in a stage of its own: so it never crosses a process, and the claim on the
    picture is held by the one process whose death should release it.
    """

    def __init__(self, context: RunContext, route: Route, board: BoardLink, share: Share) -> None:
        self._book = RowBook(context, board)
        self._write = route.write
        self._optimize = route.open_optimize(context, share)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One table per row."""
        for row in table.to_pylist():
            yield one_row(row if row["ended"] else self._one(row))

    def _one(self, row: Row) -> Row:
        ended = self._book.take_up("optimize", row)
        if ended is not None:
            return ended
        with claim(self._book.ledger.folder, row["key"]) as mine:
            if not mine:
                return self._book.leave(row)
            outcome = self._book.final(row)
            if outcome is not None:
                return self._book.skip(row, outcome)
            result = attempt(lambda: self._lift(row))
            if isinstance(result, Failure):
                return self._book.fail(row, result)
            self._book.ledger.put(result)
        self._book.board.end(row["key"], row["source"], "done")
        return recorded(row)

    def _lift(self, row: Row) -> Outcome:
        """Optimise, write and put in place; the ledger row is the caller's, last of all."""
        book, started = self._book, time.perf_counter()
        perceived: Perceived = pickle.loads(row["payload"])
        thing = row["thing"] or book.context.selection.thing
        seed = picture_seed(book.context.settings.run_seed, row["picture"], thing)
        report = reporter(book.board, row["key"])
        asset = self._optimize(perceived, seed=seed, report=report)
        exporting = time.perf_counter()
        report(Progress(stage="export", step=0, steps=1))
        provenance = provenance_of(
            book.context, perceived, name=row["name"], digest=row["picture"], thing=row["thing"]
        )
        caption = perceived.perception.caption
        name = _folder_name(row, caption)
        folder = publish(book.ledger.folder, name, row["key"], lambda work: self._write(asset, work, provenance))
        ended = time.perf_counter()
        return replace(
            book.outcome(row),
            status="done",
            error_code="",
            caption=caption,
            seed=asset.seed,
            folder=folder,
            seconds=perceived.seconds + ended - started,
            stage_seconds={"perceive": perceived.seconds, **asset.timings_s, "export": ended - exporting},
            metrics=dict(asset.metrics),
        )


def reporter(board: BoardLink, key: str) -> Report:
    """A report function that passes on a new stage at once and steps a few times a second."""
    from lift3d_ray.optimize.look import plain

    stage, at = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal stage, at
        now = time.monotonic()
        if progress.stage != stage or now - at >= REPORT_EVERY_S:
            stage, at = progress.stage, now
            board.report(key, plain(progress))

    return report


def _folder_name(row: Row, caption: str) -> str:
    """A picture's only asset is named after the picture; one of several after its words."""
    if not row["thing"]:
        return folder_name(row["name"], row["key"])
    picture = row["name"].removesuffix(f"#{row['thing']}")
    return thing_folder_name(picture, row["thing"], caption, row["key"])
