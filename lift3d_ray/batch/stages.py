"""The stages of the pipeline that work on single rows: reading and perceiving.

Rows travel as Arrow tables of one schema. The later stages pass rows that have ended on untouched, so rows are
conserved.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lift3d_ray.batch.board import BUSY, Ending
from lift3d_ray.batch.failures import Failure, attempt
from lift3d_ray.batch.inputs import read_unit
from lift3d_ray.batch.route import Route, RunContext
from lift3d_ray.batch.units import InputUnit, RawPicture
from lift3d_ray.errors import ClusterError
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.ledger import Ledger
from lift3d_ray.store.schema import Outcome

if TYPE_CHECKING:
    from lift3d_ray.batch.link import BoardLink

Row = dict[str, Any]

ROW_SCHEMA = pa.schema(
    [
        pa.field("unit", pa.int64()),
        pa.field("source", pa.string()),
        pa.field("name", pa.string()),
        pa.field("stamp", pa.string()),
        pa.field("picture", pa.string()),
        pa.field("key", pa.string()),
        pa.field("payload", pa.large_binary()),
        pa.field("ended", pa.string()),
    ]
)
"""A row between stages.

``payload``: the picture's bytes after reading, a pickled ``Perceived`` after perceiving. ``ended``: "" while there is
something to do, ``recorded`` once the ledger has the outcome, ``elsewhere`` where another row or run has taken it up.
"""

MAX_ATTEMPTS = 3
"""Times a row may lose its worker before it is given up."""


def one_row(row: Row) -> pa.Table:
    """A table of one row."""
    return pa.Table.from_pylist([row], schema=ROW_SCHEMA)


def recorded(row: Row) -> Row:
    """The row with its outcome in the ledger, and nothing to carry."""
    return {**row, "payload": b"", "ended": "recorded"}


def elsewhere(row: Row) -> Row:
    """The row left to another, and nothing to carry."""
    return {**row, "payload": b"", "ended": "elsewhere"}


def ending_of(outcome: Outcome, run: str) -> Ending:
    """What an outcome means to a run."""
    if outcome.status == "failed":
        return "failed"
    return "done" if outcome.run == run else "skipped"


class RowBook:
    """Writes down how rows end: in the ledger for good, on the board for those who watch."""

    def __init__(self, context: RunContext, board: BoardLink) -> None:
        self.context = context
        self.board = board
        self.ledger = Ledger(folder=open_folder(context.out))

    def outcome(self, row: Row) -> Outcome:
        """A failed outcome of the row to be filled in."""
        settings = self.context.settings
        return Outcome(
            key=row["key"],
            name=row["name"],
            source=row["source"],
            picture_digest=row["picture"],
            status="failed",
            error_code="unknown",
            recipe=settings.recipe,
            quality=settings.quality,
            recipe_digest=settings.recipe_digest,
            bundle_digest=settings.bundle_digest,
            run_seed=settings.run_seed,
            run=self.context.run,
        )

    def final(self, row: Row) -> Outcome | None:
        """The outcome that makes further work on the row needless, or None."""
        outcome = self.ledger.get(row["key"])
        if outcome is None or outcome.is_open(run=self.context.run, retry_failed=self.context.retry_failed):
            return None
        return outcome

    def skip(self, row: Row, outcome: Outcome) -> Row:
        """End a row whose outcome was there already."""
        self.board.end(row["key"], row["source"], ending_of(outcome, self.context.run))
        return recorded(row)

    def fail(self, row: Row, failure: Failure) -> Row:
        """End a row that failed."""
        failed = replace(self.outcome(row), error_code=failure.code, error_message=failure.message)
        self.ledger.put(failed)
        self.board.end(row["key"], row["source"], "failed")
        return recorded(row)

    def leave(self, row: Row) -> Row:
        """Leave a row to another that holds the same picture, or to another run."""
        self.board.end(row["key"], row["source"], "elsewhere")
        return elsewhere(row)

    def take_up(self, stage: str, row: Row) -> Row | None:
        """Begin a stage.

        Returns:
            None to go on, or the row as it ended where another holds it or it has lost too many workers.
        """
        number = self.board.begin(stage, row["key"], row["source"], row["name"])
        if number == BUSY:
            return self.leave(row)
        if number > MAX_ATTEMPTS:
            message = f"the worker died {MAX_ATTEMPTS} times in stage {stage}, out of memory perhaps; try fewer workers"
            return self.fail(row, Failure(code=ClusterError.code, message=message))
        return None


def read_pictures(table: pa.Table, *, context: RunContext, board: BoardLink) -> Iterator[pa.Table]:
    """Units -> rows with the bytes of their pictures, ended where the ledger has them or they cannot be read.

    Args:
        table: columns ``unit`` (its number) and ``spec`` (a pickled ``InputUnit``).
        context: the run.
        board: the run's board.
    """
    book = RowBook(context, board)
    for number, spec in zip(table["unit"].to_pylist(), table["spec"].to_pylist(), strict=True):
        unit: InputUnit = pickle.loads(spec)
        for raw in read_unit(unit):
            yield one_row(_read(book, number, raw))


def _read(book: RowBook, number: int, raw: RawPicture) -> Row:
    row: Row = {
        "unit": number,
        "source": raw.source,
        "name": raw.name,
        "stamp": raw.stamp if raw.error is None else "",
        "picture": raw.digest,
        "key": book.context.settings.key(raw.digest),
        "payload": raw.data,
        "ended": "",
    }
    outcome = book.final(row)
    if outcome is not None:
        return book.skip(row, outcome)
    if raw.error is not None:
        return book.fail(row, Failure(code=raw.error.code, message=str(raw.error)))
    return row


class PerceivePictures:
    """Rows with bytes -> rows with what the shared models say. An actor's class: it connects to the models once."""

    def __init__(self, context: RunContext, route: Route, board: BoardLink) -> None:
        self._book = RowBook(context, board)
        self._perceive = route.open_perceive(context)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One table per row."""
        for row in table.to_pylist():
            yield one_row(row if row["ended"] else self._one(row))

    def _one(self, row: Row) -> Row:
        book = self._book
        ended = book.take_up("perceive", row)
        if ended is not None:
            return ended
        started = time.perf_counter()
        perceived = attempt(lambda: self._perceive(row["payload"], name=row["name"]))
        if isinstance(perceived, Failure):
            return book.fail(row, perceived)
        book.board.wait("perceive", row["key"])
        timed = replace(perceived, seconds=time.perf_counter() - started)
        return {**row, "payload": pickle.dumps(timed, protocol=pickle.HIGHEST_PROTOCOL)}
