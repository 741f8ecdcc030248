"""The stages of the pipeline that work on single rows: reading and perceiving.

Rows travel as Arrow tables of one schema. The later stages pass rows that have ended on untouched, so rows are
conserved.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lift3d_ray.batch.board import BUSY, Ending
from lift3d_ray.batch.failures import Failure, attempt
from lift3d_ray.batch.inputs import read_unit
from lift3d_ray.batch.route import Find, Route, RunContext
from lift3d_ray.batch.things import thing_key, thing_name
from lift3d_ray.batch.units import InputUnit, RawPicture
from lift3d_ray.errors import ClusterError, NoSubject
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.ledger import Ledger
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import Selection
from lift3d_ray.types import MaskProposal

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
        pa.field("thing", pa.int64()),
        pa.field("payload", pa.large_binary()),
        pa.field("ended", pa.string()),
    ]
)
"""A row between stages.

``thing``: which of several things in the picture, counted from 1; 0 = its only one, or the picture itself. ``payload``:
the picture's bytes after reading, a pickled ``Perceived`` after perceiving. ``ended``: "" while there is
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
            selection=Selection(thing=row["thing"]).text if row["thing"] else settings.selection,
            thing=row["thing"],
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

    def part(self, row: Row, things: int) -> Row:
        """End a picture's row whose things go on as rows of their own."""
        if not self.parted(row):
            self.ledger.put(replace(self.outcome(row), status="parted", error_code="", things=things))
        self.board.part(row["key"], row["source"], [thing_name(row["source"], n) for n in range(1, things + 1)])
        return recorded(row)

    def parted(self, row: Row) -> int:
        """How many things the picture is known to hold; 0 = not known."""
        outcome = self.ledger.get(row["key"])
        return 0 if outcome is None else outcome.things

    def thing(self, row: Row, thing: int) -> Row:
        """The row of one thing of a picture."""
        return {
            **row,
            "source": thing_name(row["source"], thing),
            "name": thing_name(row["name"], thing),
            "stamp": "",
            "key": thing_key(row["picture"], thing, self.context.settings),
            "thing": thing,
        }

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
        "thing": 0,
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
    """Rows with bytes -> rows with what the shared models say. An actor's class: it connects to the models once.

    In a run that lifts every thing, a picture's row is followed by one for each of its things.
    """

    def __init__(self, context: RunContext, route: Route, board: BoardLink) -> None:
        self._book = RowBook(context, board)
        self._perceive = route.open_perceive(context)
        self._find = route.open_find(context) if context.selection.every else None

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One table per row."""
        for row in table.to_pylist():
            if row["ended"]:
                yield one_row(row)
            elif self._find is None:
                yield one_row(self._one(row))
            else:
                yield from map(one_row, self._each(row, self._find))

    def _each(self, row: Row, find: Find) -> Iterator[Row]:
        """The picture's row, then those of its things.

        Always in this order and number: a cluster that repeats the work of a lost worker goes on at the row it had.
        """
        book = self._book
        known = book.parted(row)
        things = [book.thing(row, number) for number in range(1, known + 1)]
        masks: list[MaskProposal] | Failure = []
        if not things or any(book.final(thing) is None for thing in things):
            ended = book.take_up("perceive", row)
            if ended is not None:
                yield ended
                return
            masks = attempt(lambda: find(row["payload"], name=row["name"]))
            if isinstance(masks, Failure) and not known:
                yield book.fail(row, masks)
                return
        if not isinstance(masks, Failure) and not known:
            things = [book.thing(row, number) for number in range(1, len(masks) + 1)]
        yield book.part(row, len(things))
        for index, thing in enumerate(things):
            yield self._thing(thing, masks if isinstance(masks, Failure) else masks[index : index + 1])

    def _thing(self, row: Row, masks: Sequence[MaskProposal] | Failure) -> Row:
        outcome = self._book.final(row)
        if outcome is not None:
            return self._book.skip(row, outcome)
        if not masks:
            message = f"{row['name']}: it stood out when the picture was first looked at, and does not now"
            masks = Failure(code=NoSubject.code, message=message)
        return self._book.fail(row, masks) if isinstance(masks, Failure) else self._one(row, masks[0])

    def _one(self, row: Row, mask: MaskProposal | None = None) -> Row:
        book = self._book
        ended = book.take_up("perceive", row)
        if ended is not None:
            return ended
        started = time.perf_counter()
        perceived = attempt(lambda: self._perceive(row["payload"], name=row["name"], mask=mask))
        if isinstance(perceived, Failure):
            return book.fail(row, perceived)
        book.board.wait("perceive", row["key"])
        timed = replace(perceived, seconds=time.perf_counter() - started)
        return {**row, "payload": pickle.dumps(timed, protocol=pickle.HIGHEST_PROTOCOL)}
