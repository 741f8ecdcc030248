from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from lift3d_ray.store.files import Folder
from lift3d_ray.store.ledger import InputRow, Ledger
from lift3d_ray.store.manifest import MANIFEST, compact, manifest_rows
from lift3d_ray.store.schema import MANIFEST_SCHEMA, Outcome


@pytest.fixture
def ledger(folder: Folder) -> Ledger:
    return Ledger(folder=folder)


def row(source: str, key: str, name: str | None = None) -> InputRow:
    return InputRow(source=source, name=name or source, key=key, picture_digest="p")


def status(ledger: Ledger, key: str) -> str:
    outcome = ledger.get(key)
    return "" if outcome is None else outcome.status


def test_outcomes_are_kept_by_key(ledger: Ledger, done: Outcome, failed: Outcome) -> None:
    assert ledger.get(failed.key) is None
    assert ledger.keys() == set()
    ledger.put(failed)
    assert ledger.get(failed.key) == failed
    assert ledger.keys() == {failed.key}
    assert ledger.get_many([failed.key, done.key]) == {failed.key: failed}


def test_a_failure_never_hides_an_asset(ledger: Ledger, done: Outcome) -> None:
    ledger.put(done)
    ledger.put(replace(done, status="failed", folder="", error_code="cluster"))
    assert status(ledger, done.key) == "done"


def test_an_asset_replaces_a_failure(ledger: Ledger, done: Outcome, failed: Outcome) -> None:
    ledger.put(replace(failed, key=done.key))
    ledger.put(done)
    assert status(ledger, done.key) == "done"


def test_a_damaged_row_counts_as_missing(ledger: Ledger, done: Outcome) -> None:
    ledger.folder.write(f"ledger/{done.key}.json", done.to_json().encode()[:50])
    assert ledger.get(done.key) is None


def test_rows_of_runs_come_back_in_order(ledger: Ledger) -> None:
    ledger.put_rows("2026-b", [row("/b", "k2")])
    ledger.put_rows("2026-a", [row("/a", "k1"), row("/c", "k1")])
    assert [r.source for r in ledger.rows()] == ["/a", "/c", "/b"]


def test_the_manifest_has_a_row_for_every_input_row_even_of_one_picture(
    ledger: Ledger, done: Outcome, failed: Outcome
) -> None:
    ledger.put(done)
    ledger.put(failed)
    ledger.put_rows(
        "1", [row("/a", done.key, "a"), row("/copy-of-a", done.key, "copy"), row("/bad", failed.key, "bad")]
    )
    rows = compact(ledger)
    assert sorted((r.name, r.status) for r in rows if r.source != done.source) == [
        ("a", "done"),
        ("bad", "failed"),
        ("copy", "done"),
    ]
    table = pq.read_table(ledger.folder.inside(MANIFEST), filesystem=ledger.folder.filesystem)
    assert table.schema.equals(MANIFEST_SCHEMA)
    assert table.num_rows == len(rows)


def test_what_a_killed_run_recorded_is_in_the_manifest_without_its_rows(ledger: Ledger, done: Outcome) -> None:
    ledger.put(done)
    assert [told.key for told in compact(ledger)] == [done.key]


def test_a_mended_picture_takes_its_old_failure_out(done: Outcome, failed: Outcome) -> None:
    outcomes = {failed.key: failed, done.key: done}
    rows = [row("/in/cat.png", failed.key), row("/in/cat.png", done.key)]
    assert [r.status for r in manifest_rows(outcomes, rows)] == ["done"]


def test_a_changed_recipe_stands_beside_the_old(done: Outcome, failed: Outcome) -> None:
    newer = replace(failed, source=done.source, recipe_digest="other")
    rows = [row(done.source, done.key), row(done.source, newer.key)]
    assert len(manifest_rows({done.key: done, newer.key: newer}, rows)) == 2
    rows.reverse()
    assert len(manifest_rows({done.key: done, newer.key: newer}, rows)) == 2


def test_compacting_starts_over_when_something_was_added_meanwhile(
    ledger: Ledger, done: Outcome, failed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.put(done)
    write = type(ledger.folder).write
    added: list[bool] = []

    def write_while_another_run_adds(self: Folder, relative: str, data: bytes) -> None:
        write(self, relative, data)
        if relative == MANIFEST and not added:
            added.append(True)
            ledger.put(failed)

    monkeypatch.setattr(type(ledger.folder), "write", write_while_another_run_adds)
    assert {r.key for r in compact(ledger)} == {done.key, failed.key}
    table = pq.read_table(ledger.folder.inside(MANIFEST), filesystem=ledger.folder.filesystem)
    assert table.num_rows == 2
