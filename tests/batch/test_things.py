"""Every thing of a picture for itself, through the stages on one thread and through what runs before and after Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lift3d_ray.batch.board import RunBoard
from lift3d_ray.batch.inputs import list_inputs
from lift3d_ray.batch.stages import MAX_ATTEMPTS, Row
from lift3d_ray.batch.submit import _Run, submit
from lift3d_ray.batch.things import thing_key, with_things
from lift3d_ray.store.keys import Settings, picture_seed
from lift3d_ray.store.ledger import InputRow
from lift3d_ray.store.manifest import compact
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import EVERY, Selection
from tests.batch.fakes import RECIPE, lifts
from tests.batch.test_stages import Stream

SETTINGS = Settings(
    recipe=RECIPE.name,
    quality="draft",
    recipe_digest=RECIPE.digest,
    bundle_digest="analytic",
    run_seed=0,
    selection=EVERY.text,
)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    made = Stream(tmp_path)
    made.begin_anew("run1", settings=SETTINGS, selection=EVERY)
    made.board = RunBoard(9, parts=True)
    return made


def again(stream: Stream, run: str) -> None:
    stream.begin_anew(run)
    stream.board = RunBoard(9, parts=True)


def finds(stream: Stream) -> list[str]:
    log = Path(f"{stream.out}.finds")
    return log.read_text().splitlines() if log.exists() else []


def told(stream: Stream) -> dict[str, Outcome]:
    outcomes = stream.ledger.get_many(stream.ledger.keys()).values()
    return {outcome.name: outcome for outcome in outcomes}


def test_every_thing_is_a_row_with_an_asset_and_one_that_fails_takes_no_other_down(stream: Stream) -> None:
    stream.add(desk="a Red mug | diverge | a blue cup, side view", none="blank", one="a duck")
    assert stream.run() == {
        "desk.png": ("parted", ""),
        "desk.png#1": ("done", ""),
        "desk.png#2": ("failed", "optimization-failed"),
        "desk.png#3": ("done", ""),
        "none.png": ("failed", "no-subject"),
        "one.png": ("parted", ""),
        "one.png#1": ("done", ""),
    }
    outcomes = told(stream)
    first, third = outcomes["desk.png#1"], outcomes["desk.png#3"]
    assert first.folder == f"assets/desk-01-a-red-mug-{first.key[:12]}"
    assert third.folder == f"assets/desk-03-a-blue-cup-side-view-{third.key[:12]}"
    assert (third.selection, third.thing, third.caption) == ("#3", 3, "a blue cup, side view")
    assert "'selection': '#3'" in (stream.out / third.folder / "result.json").read_text()
    assert outcomes["desk.png"].things == 3
    state = stream.board.state()
    assert (state.rows, state.done, state.failed, state.running, state.unseen) == (11, 3, 2, (), 6)


def test_a_thing_has_the_key_and_the_seed_that_it_has_alone(stream: Stream) -> None:
    stream.add(desk="a mug | a cup")
    stream.run()
    second = told(stream)["desk.png#2"]
    alone = replace(SETTINGS, selection=Selection(thing=2).text)
    assert second.key == alone.key(second.picture_digest)
    assert second.seed == picture_seed(0, second.picture_digest, 2) != picture_seed(0, second.picture_digest)
    assert told(stream)["desk.png#1"].seed == picture_seed(0, second.picture_digest)
    stream.begin_anew("run2", settings=alone, selection=Selection(thing=2))
    assert stream.run() == {"desk.png": ("done", "")}
    assert lifts(stream.out) == ["a mug", "a cup"]


def test_a_second_run_lifts_only_the_things_that_are_open(stream: Stream) -> None:
    stream.add(desk="a mug | diverge | a cup", duck="a duck")
    stream.run()
    again(stream, "run2")
    results = stream.run()
    assert results["desk.png#2"] == ("failed", "optimization-failed")
    assert lifts(stream.out) == ["a mug", "a cup", "a duck"]
    # What is settled in every thing is not even looked at.
    assert finds(stream) == ["desk.png", "duck.png", "desk.png"]
    state = stream.board.state()
    assert (state.done, state.skipped, state.failed, state.rows) == (0, 3, 1, 11)


def test_a_thing_that_keeps_killing_its_worker_fails_alone(stream: Stream) -> None:
    stream.add(desk="a mug | a killer | a cup")
    row = stream.read()[0]
    killer = thing_key(row["picture"], 2, SETTINGS)
    for _ in range(MAX_ATTEMPTS):
        stream.board.begin("perceive", killer, f"{row['source']}#2", "desk.png#2")
    assert stream.run() == {
        "desk.png": ("parted", ""),
        "desk.png#1": ("done", ""),
        "desk.png#2": ("failed", "cluster"),
        "desk.png#3": ("done", ""),
    }


def test_the_rows_of_a_picture_come_in_the_same_order_in_every_attempt(stream: Stream) -> None:
    """A cluster that repeats the work of a lost worker drops as many rows as it had before."""
    stream.add(desk="a mug | a cup | a duck")
    rows = stream.read()
    first = stream.stage(stream.perceiver(), rows)
    stream.stage(stream.optimizer(), first[:2])
    second = stream.stage(stream.perceiver(), rows)

    def order(given: list[Row]) -> list[tuple[str, int]]:
        return [(row["source"], row["thing"]) for row in given]

    assert order(first) == order(second)
    assert [row["ended"] for row in second] == ["recorded", "recorded", "", ""]


def test_a_picture_that_cannot_be_looked_at_again_fails_its_open_things(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.add(desk="a mug | diverge")
    stream.run()
    again(stream, "run2")
    perceiver = stream.perceiver()
    monkeypatch.setattr(perceiver, "_find", lambda data, *, name: 1 / 0)
    stream.stage(perceiver, stream.read())
    outcomes = told(stream)
    assert outcomes["desk.png"].status == "parted"
    assert (outcomes["desk.png#1"].status, outcomes["desk.png#2"].error_code) == ("done", "internal")


def test_a_thing_that_is_not_found_again_is_a_recorded_failure(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.add(desk="a mug | diverge")
    stream.run()
    again(stream, "run2")
    perceiver = stream.perceiver()
    found = perceiver._find
    assert found is not None
    monkeypatch.setattr(perceiver, "_find", lambda data, *, name: found(data, name=name)[:1])
    stream.stage(perceiver, stream.read())
    assert told(stream)["desk.png#2"].error_code == "no-subject"


def test_the_same_picture_twice_is_parted_and_lifted_once(stream: Stream) -> None:
    stream.add(one="a mug | a cup", two="a mug | a cup")
    rows = stream.stage(stream.perceiver(), stream.read())
    assert [(row["name"], row["ended"]) for row in rows] == [
        ("one.png", "recorded"),
        ("one.png#1", ""),
        ("one.png#2", ""),
        ("two.png", "recorded"),
        ("two.png#1", "elsewhere"),
        ("two.png#2", "elsewhere"),
    ]
    stream.stage(stream.optimizer(), rows)
    assert lifts(stream.out) == ["a mug", "a cup"]


def test_the_manifest_tells_things_and_not_the_picture_they_came_from(stream: Stream) -> None:
    stream.add(desk="a mug | diverge", none="blank")
    stream.run()
    assert [outcome.name for outcome in compact(stream.ledger)] == ["desk.png#1", "desk.png#2", "none.png"]
    table = pq.read_table(stream.out / "manifest.parquet").to_pylist()
    assert [row["selection"] for row in table] == ["#1", "#2", "all"]


def test_failed_things_of_a_picture_that_was_replaced_are_told_no_more(stream: Stream) -> None:
    stream.add(desk="a mug | diverge")
    put_rows(stream, stream.run(), "run1")
    again(stream, "run2")
    stream.add(desk="another mug")
    put_rows(stream, stream.run(), "run2")
    names = [(outcome.name, outcome.status) for outcome in compact(stream.ledger)]
    assert names == [("desk.png#1", "done"), ("desk.png#1", "done")]


def put_rows(stream: Stream, results: dict[str, tuple[str, str]], run: str) -> None:
    """What a run writes down of its input rows."""
    assert "desk.png" in results
    row = stream.read()[0]
    picture = InputRow(**{name: row[name] for name in ("source", "name", "key")}, picture_digest=row["picture"])
    stream.ledger.put_rows(run, with_things([picture], stream.ledger, SETTINGS))


def submitted(stream: Stream, *, dry_run: bool = False) -> list[int]:
    summary = submit([str(stream.inputs)], str(stream.out), RECIPE, bundle="analytic", selection=EVERY, dry_run=dry_run)
    assert summary.rows == summary.done + summary.skipped + summary.failed + summary.left
    return [summary.pictures, summary.rows, summary.skipped, summary.failed, summary.left, summary.unseen]


def test_a_dry_run_counts_what_is_known_of_things_and_says_what_is_not(stream: Stream) -> None:
    stream.add(desk="a mug | diverge | a cup", none="blank")
    assert submitted(stream, dry_run=True) == [2, 2, 0, 0, 2, 2]
    stream.run()
    stream.add(late="a duck | a hen")
    assert submitted(stream, dry_run=True) == [3, 5, 2, 1, 2, 1]


def test_settled_things_are_no_work_and_ray_is_not_started(stream: Stream) -> None:
    stream.add(desk="a mug | a cup", none="blank")
    stream.run()
    assert submitted(stream) == [2, 3, 2, 1, 0, 0]
    assert submitted(stream) == [2, 3, 2, 1, 0, 0]
    page = (stream.out / "index.html").read_text()
    assert page.count('class="card"') == 2


def test_an_interrupted_run_counts_the_things_that_had_not_come_out_yet(stream: Stream) -> None:
    stream.add(desk="a mug | a cup | a hen", late="a duck")
    rows = stream.stage(stream.perceiver(), stream.read()[:1])
    stream.stage(stream.optimizer(), rows[:2])
    listing = list_inputs([str(stream.inputs)])
    run = _Run(context=stream.context, listing=listing, folder=stream.ledger.folder, started=0.0, watch=None)
    summary = run.finish([], interrupted=True)
    assert (summary.pictures, summary.rows, summary.done, summary.left, summary.unseen) == (2, 4, 1, 3, 1)
    assert summary.exit_status == 130
