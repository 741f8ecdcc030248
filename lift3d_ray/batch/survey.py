"""Looking, before anything is started, at what the ledger says about the inputs."""

from __future__ import annotations

from collections.abc import Iterator

from lift3d_ray.batch.inputs import Listing, read_unit
from lift3d_ray.batch.units import InputUnit
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.keys import Settings
from lift3d_ray.store.ledger import InputRow, Ledger

_Known = dict[tuple[str, str], InputRow]


def is_here(listing: Listing) -> bool:
    """Whether all inputs lie on this machine, so that looking at them is cheap."""
    return all(open_folder(unit.address).local is not None for unit in listing.units)


def survey(listing: Listing, ledger: Ledger, settings: Settings) -> Iterator[InputRow]:
    """The input rows with their keys under these settings.

    A picture whose file has not changed since a run read it is not read again.
    """
    known = {(row.source, row.stamp): row for row in ledger.rows() if row.stamp}
    for unit in listing.units:
        yield from _known_rows(unit, known, settings) or _read_rows(unit, settings)


def _known_rows(unit: InputUnit, known: _Known, settings: Settings) -> list[InputRow]:
    """The rows of a unit as an earlier run found them, or nothing if any is not known."""
    sources = [unit.source]
    if unit.column:
        sources = [f"{unit.source}#{row}" for row in range(unit.first_row, unit.first_row + unit.rows)]
    rows = [known.get((source, unit.stamp)) for source in sources]
    return [
        InputRow(
            source=row.source,
            name=row.name if unit.column else unit.name,
            key=settings.key(row.picture_digest),
            picture_digest=row.picture_digest,
            stamp=row.stamp,
        )
        for row in rows
        if row is not None and None not in rows
    ]


def _read_rows(unit: InputUnit, settings: Settings) -> Iterator[InputRow]:
    for raw in read_unit(unit):
        digest = raw.digest
        yield InputRow(
            source=raw.source,
            name=raw.name,
            key=settings.key(digest),
            picture_digest=digest,
            stamp=raw.stamp if raw.error is None else "",
        )
