from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from lift3d_ray.batch.board import RunBoard
from lift3d_ray.batch.inputs import list_inputs
from lift3d_ray.batch.optimizer_actor import OptimizeScenes, reporter
from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import RunContext
from lift3d_ray.batch.stages import MAX_ATTEMPTS, PerceivePictures, Row, RowBook, read_pictures
from lift3d_ray.store.claims import claim
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.keys import Settings, picture_digest, picture_seed
from lift3d_ray.store.ledger import Ledger
from lift3d_ray.types import Progress
from tests.batch.fakes import RECIPE, ROUTE, lifts

SETTINGS = Settings(recipe="fake", quality="draft", recipe_digest="r", bundle_digest="b", run_seed=3)
SHARE = Share(workers=1, cpus=1, gpus=0, threads=1)


class Stream:
    """The three stages on one thread, without Ray; the board is called directly."""

    def __init__(self, root: Path) -> None:
        self.inputs, self.out = root / "in", root / "out"
        self.inputs.mkdir()
        self.context = RunContext(
            run="run1", out=str(self.out), settings=SETTINGS, recipe=RECIPE, bundle="analytic", app_name="models"
        )
        self.ledger = Ledger(folder=open_folder(str(self.out)))
        self.begin_anew("run1")

    def begin_anew(self, run: str, **changes: Any) -> None:
        self.context = replace(self.context, run=run, **changes)
        self.board = RunBoard(9)

    def add(self, **pictures: str) -> None:
        for name, words in pictures.items():
            (self.inputs / f"{name}.png").write_text(words)

    def read(self) -> list[Row]:
        units = list_inputs([str(self.inputs)]).units
        table = pa.table({"unit": range(len(units)), "spec": [pickle.dumps(unit) for unit in units]})
        tables = read_pictures(table, context=self.context, board=cast(Any, self.board))
        return [row for table in tables for row in table.to_pylist()]

    def stage(self, stage: PerceivePictures | OptimizeScenes, rows: list[Row]) -> list[Row]:
        from lift3d_ray.batch.stages import one_row

        return [row for given in rows for table in stage(one_row(given)) for row in table.to_pylist()]

    def perceiver(self) -> PerceivePictures:
        return PerceivePictures(self.context, ROUTE, cast(Any, self.board))

    def optimizer(self) -> OptimizeScenes:
        return OptimizeScenes(self.context, ROUTE, cast(Any, self.board), SHARE)

    def run(self) -> dict[str, tuple[str, str]]:
        rows = self.stage(self.optimizer(), self.stage(self.perceiver(), self.read()))
        assert all(row["ended"] and row["payload"] == b"" for row in rows)
        outcomes = {row["name"]: self.ledger.get(row["key"]) for row in rows}
        return {name: (o.status, o.error_code) for name, o in outcomes.items() if o is not None}


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(tmp_path)


def test_every_row_gets_an_outcome_and_the_others_go_on(stream: Stream) -> None:
    stream.add(good="a good one", empty="nothing", late="diverge", broken="bug", early="perceive-bug", last="fine")
    (stream.inputs / "gone.png").symlink_to("/nowhere.png")
    assert stream.run() == {
        "good.png": ("done", ""),
        "empty.png": ("failed", "no-subject"),
        "late.png": ("failed", "optimization-failed"),
        "broken.png": ("failed", "internal"),
        "early.png": ("failed", "internal"),
        "last.png": ("done", ""),
        "gone.png": ("failed", "unreadable-photo"),
    }
    state = stream.board.state()
    assert (state.done, state.failed, state.running) == (2, 5, ())


def test_an_asset_is_in_place_with_its_facts(stream: Stream) -> None:
    stream.add(good="a good one")
    stream.run()
    (outcome,) = stream.ledger.get_many(stream.ledger.keys()).values()
    digest = picture_digest(b"a good one")
    assert outcome.seed == picture_seed(3, digest)
    assert (stream.out / outcome.folder / "asset.glb").read_text() == f"a good one {outcome.seed}"
    assert (outcome.caption, outcome.picture_digest, outcome.run) == ("a good one", digest, "run1")
    assert {"perceive", "optimize", "export"} <= set(outcome.stage_seconds)
    assert outcome.metrics["reference_psnr"] > 0


def test_what_the_ledger_has_is_not_lifted_again(stream: Stream) -> None:
    stream.add(good="a good one", empty="nothing")
    stream.run()
    stream.begin_anew("run2")
    stream.run()
    assert lifts(stream.out) == ["a good one"]
    assert (stream.board.state().skipped, stream.board.state().failed) == (1, 1)


def test_failures_of_the_picture_wait_to_be_asked_for_and_others_do_not(stream: Stream) -> None:
    stream.add(empty="nothing", late="diverge")
    stream.run()
    for run, retry, tried in (("run2", False, {"late.png"}), ("run3", True, {"late.png", "empty.png"})):
        stream.begin_anew(run, retry_failed=retry)
        stream.run()
        outcomes = stream.ledger.get_many(stream.ledger.keys()).values()
        assert {outcome.name for outcome in outcomes if outcome.run == run} == tried


def test_a_changed_recipe_is_new_work_beside_the_old(stream: Stream) -> None:
    stream.add(good="a good one")
    stream.run()
    stream.begin_anew("run2", settings=replace(SETTINGS, recipe_digest="other"))
    stream.run()
    assert len(lifts(stream.out)) == 2
    assert len({outcome.folder for outcome in stream.ledger.get_many(stream.ledger.keys()).values()}) == 2


def test_the_same_picture_twice_is_lifted_once(stream: Stream) -> None:
    stream.add(one="twin", two="twin")
    rows = stream.stage(stream.perceiver(), stream.read())
    assert [row["ended"] for row in rows] == ["", "elsewhere"]
    stream.stage(stream.optimizer(), rows)
    assert lifts(stream.out) == ["twin"]
    assert stream.board.state().left == 8


def test_a_picture_that_another_run_is_lifting_is_left_to_it(stream: Stream) -> None:
    stream.add(good="a good one")
    key = stream.read()[0]["key"]
    with claim(stream.ledger.folder, key) as mine:
        assert mine
        assert stream.run() == {}
    assert lifts(stream.out) == []
    assert stream.run() == {"good.png": ("done", "")}


def test_what_another_run_finished_meanwhile_is_not_lifted_again(stream: Stream) -> None:
    stream.add(good="a good one")
    rows = stream.stage(stream.perceiver(), stream.read())
    done = replace(
        RowBook(stream.context, cast(Any, stream.board)).outcome(rows[0]),
        status="done",
        error_code="",
        folder="assets/x",
        run="other",
    )
    stream.ledger.put(done)
    stream.stage(stream.optimizer(), rows)
    assert lifts(stream.out) == []
    assert stream.board.state().skipped == 1


@pytest.mark.parametrize("stage", ["perceive", "optimize"])
def test_a_scene_that_keeps_killing_its_worker_becomes_a_failure(stream: Stream, stage: str) -> None:
    stream.add(good="a good one")
    (row,) = stream.read()
    for _ in range(MAX_ATTEMPTS):
        assert stream.board.begin(stage, row["key"], row["source"], row["name"]) > 0
    assert stream.run() == {"good.png": ("failed", "cluster")}
    assert lifts(stream.out) == []


def test_a_failed_export_fails_the_row(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.add(good="a good one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    optimizer = stream.optimizer()
    monkeypatch.setattr(optimizer, "_write", full)
    stream.stage(optimizer, stream.stage(stream.perceiver(), stream.read()))
    (outcome,) = stream.ledger.get_many(stream.ledger.keys()).values()
    assert (outcome.status, outcome.error_code) == ("failed", "export")
    assert "No space left" in outcome.error_message


def test_reports_are_thinned_but_a_new_stage_is_told_at_once() -> None:
    board = RunBoard(1)
    board.begin("optimize", "k", "/a", "a")
    seen = []
    board.report = lambda key, progress: seen.append((progress.stage, progress.step))  # type: ignore[method-assign]
    report = reporter(cast(Any, board), "k")
    for step in range(100):
        report(Progress(stage="optimize", step=step, steps=100))
    report(Progress(stage="mesh", step=0, steps=1))
    assert seen[0] == ("optimize", 0)
    assert seen[-1] == ("mesh", 0)
    assert len(seen) < 20
