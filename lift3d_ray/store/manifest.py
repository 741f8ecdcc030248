"""Compacting the ledger into ``manifest.parquet``: one row per input row, done or failed with the reason."""

from __future__ import annotations

import io

import pyarrow.parquet as pq

from lift3d_ray.store.ledger import InputRow, Ledger
from lift3d_ray.store.schema import Outcome, to_table

MANIFEST = "manifest.parquet"
_ROUNDS = 10


def compact(ledger: Ledger) -> list[Outcome]:
    """Rewrite the manifest from the ledger.

    Two runs may compact at once: each looks again after writing and starts over if anything was added, so whoever
    writes last has seen everything.

    Returns:
        The rows of the manifest, in its order.
    """
    outcomes: list[Outcome] = []
    for _ in range(_ROUNDS):
        seen = (ledger.keys(), ledger.run_files())
        outcomes = manifest_rows(ledger.get_many(sorted(seen[0])), ledger.rows())
        buffer = io.BytesIO()
        pq.write_table(to_table(outcomes), buffer)
        ledger.folder.write(MANIFEST, buffer.getvalue())
        if (ledger.keys(), ledger.run_files()) == seen:
            break
    return outcomes


def manifest_rows(outcomes: dict[str, Outcome], rows: list[InputRow]) -> list[Outcome]:
    """One outcome for every distinct input row, in order of name; of a parted picture one for each thing instead.

    An outcome whose run died before it could list its rows is told under its own source. A failure is left out once
    a later row tells of the same source under the same settings: the picture was mended or replaced. That of a thing is
    left out once the picture at its source is another.

    Args:
        outcomes: the ledger, by key.
        rows: the input rows of all runs, oldest first.
    """
    told = {(outcome.source, key): outcome for key, outcome in outcomes.items()}
    latest: dict[tuple[str, ...], str] = {}
    pictures: dict[tuple[str, ...], str] = {}
    for row in rows:
        outcome = outcomes.get(row.key)
        if outcome is not None:
            told[row.source, row.key] = outcome.told_as(name=row.name, source=row.source)
            latest[_settings(row.source, outcome)] = row.key
            pictures[_settings(row.source, outcome)] = row.picture_digest
    kept = [
        outcome
        for (source, key), outcome in told.items()
        if outcome.status == "done"
        or (
            outcome.status == "failed"
            and latest.get(_settings(source, outcome), key) == key
            and pictures.get(_settings(outcome.picture_source, outcome)) in (None, outcome.picture_digest)
        )
    ]
    return sorted(kept, key=lambda outcome: (outcome.name, outcome.source, outcome.created_at, outcome.key))


def _settings(source: str, outcome: Outcome) -> tuple[str, ...]:
    return source, outcome.recipe_digest, outcome.bundle_digest, str(outcome.run_seed)
