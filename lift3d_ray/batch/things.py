"""Every thing of a picture for itself: the input rows of things, beside the row of their picture.

The picture's own outcome says how many things it holds, so the rows of its things, and their keys, follow from it: a
run knows what is missing without looking at the picture again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lift3d_ray.store.keys import Settings
from lift3d_ray.store.ledger import InputRow, Ledger
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import Selection


def thing_name(picture: str, thing: int) -> str:
    """What a thing of a picture is called, in sources and in names: ``desk.jpg#2``."""
    return f"{picture}#{thing}"


def thing_key(picture_digest: str, thing: int, settings: Settings) -> str:
    """The key of a thing's lift: the one that it has in a run which selects it alone."""
    return settings.key(picture_digest, Selection(thing=thing).text)


def with_things(rows: Iterable[InputRow], ledger: Ledger, settings: Settings) -> list[InputRow]:
    """The rows, and after every picture that was parted those of its things; each source once."""
    told = {row.source: row for row in rows}
    outcomes = ledger.get_many({row.key for row in told.values()})
    found: dict[str, InputRow] = {}
    for row in told.values():
        outcome = outcomes.get(row.key)
        count = 0 if outcome is None else outcome.things
        for each in (row, *(_thing(row, number, settings) for number in range(1, count + 1))):
            found.setdefault(each.source, each)
    return list(found.values())


def is_parted(outcome: Outcome | None) -> bool:
    """Whether a picture's outcome is that of its things."""
    return outcome is not None and outcome.status == "parted"


def picture_row(outcome: Outcome, settings: Settings) -> InputRow:
    """The input row that an outcome of a run with these settings came from; of a thing, its picture's."""
    return InputRow(
        source=outcome.picture_source,
        name=outcome.name.removesuffix(f"#{outcome.thing}") if outcome.thing else outcome.name,
        key=settings.key(outcome.picture_digest) if outcome.thing else outcome.key,
        picture_digest=outcome.picture_digest,
    )


def _thing(row: InputRow, thing: int, settings: Settings) -> InputRow:
    return replace(
        row,
        source=thing_name(row.source, thing),
        name=thing_name(row.name, thing),
        key=thing_key(row.picture_digest, thing, settings),
        stamp="",
        thing=thing,
    )
