from __future__ import annotations

import json
from typing import Any, Protocol

import pytest

import lift3d_ray.batch.submit as batch
from lift3d_ray.batch.board import RunState
from lift3d_ray.batch.summary import RunSummary
from lift3d_ray.cli.main import main
from lift3d_ray.errors import ClusterError, ConfigError, InputError
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import EVERY

COMMAND = ["submit", "pictures", "--out", "assets/"]


def failure(name: str) -> Outcome:
    return Outcome(
        key="k" + name,
        name=name,
        source=f"/pictures/{name}",
        picture_digest="d",
        status="failed",
        recipe="make-it-3d",
        quality="draft",
        recipe_digest="r",
        bundle_digest="b",
        run_seed=0,
        error_code="unreadable-photo",
        error_message=f"{name}: looks like text",
    )


def summary(
    *,
    done: int = 0,
    skipped: int = 0,
    left: int = 0,
    failures: tuple[Outcome, ...] = (),
    left_out: tuple[str, ...] = (),
    interrupted: bool = False,
    dry_run: bool = False,
    pictures: int = 0,
    unseen: int = 0,
) -> RunSummary:
    return RunSummary(
        rows=done + skipped + left + len(failures),
        pictures=pictures or done + skipped + left + len(failures),
        unseen=unseen,
        done=done,
        skipped=skipped,
        failed=len(failures),
        left=left,
        failures=failures,
        left_out=left_out,
        seconds=75.2,
        out="/somewhere/assets",
        run="r1",
        interrupted=interrupted,
        dry_run=dry_run,
    )


class Put(Protocol):
    def __call__(self, answer: RunSummary | BaseException, *states: RunState) -> FakeRun: ...


class FakeRun:
    """Stands for the batch: answers or raises what it is told to, and keeps what it was called with."""

    def __init__(self, answer: RunSummary | BaseException, states: tuple[RunState, ...]) -> None:
        self.answer = answer
        self.states = states
        self.called_with: dict[str, Any] = {}

    def __call__(self, inputs: list[str], out: str, recipe: object, **settings: Any) -> RunSummary:
        self.called_with = {"inputs": inputs, "out": out, "recipe": recipe, **settings}
        for state in self.states:
            settings["on_progress"](state)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Put:
    def put(answer: RunSummary | BaseException, *states: RunState) -> FakeRun:
        fake = FakeRun(answer, states)
        monkeypatch.setattr(batch, "submit", fake)
        return fake

    return put


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (summary(done=3), 0),
        (summary(skipped=3), 0),
        (summary(done=2, failures=(failure("a.png"),)), 1),
        (summary(done=2, left=1), 1),
        (summary(left=3, dry_run=True), 0),
        (summary(done=1, left=2, interrupted=True), 130),
        (InputError("pictures does not exist; check the path"), 2),
        (ConfigError("the output folder is a file; choose another"), 2),
        (ClusterError("the run does not fit the cluster"), 1),
        (ZeroDivisionError("division by zero"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_status(run: Put, answer: RunSummary | BaseException, status: int) -> None:
    run(answer)
    assert main(COMMAND) == status


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "pictures"],
        [*COMMAND, "--quality", "best"],
        [*COMMAND, "--recipe", "nothing-3d"],
        [*COMMAND, "--workers", "0"],
        [*COMMAND, "--seed", "-1"],
        [*COMMAND, "--no-such-option"],
        ["no-such-command"],
        [],
    ],
)
def test_wrong_use_runs_nothing(run: Put, arguments: list[str]) -> None:
    fake = run(summary())
    assert main(arguments) == 2
    assert fake.called_with == {}


def test_hands_over_what_was_typed(run: Put) -> None:
    fake = run(summary(done=1))
    extra = ["--recipe", "anything-3d", "--quality", "draft", "--seed", "7", "--workers", "2", "--address", "auto"]
    main([*COMMAND, "more", *extra, "--retry-failed", "--grows", "--bundle", "weights", "--best-of", "3"])
    got = fake.called_with
    assert got["inputs"] == ["pictures", "more"]
    assert got["out"] == "assets/"
    assert (got["recipe"].name, got["recipe"].quality) == ("anything-3d", "draft")
    assert (got["seed"], got["bundle"], got["retry_failed"], got["dry_run"]) == (7, "weights", True, False)
    assert got["best_of"] == 3
    assert got["options"] == batch.Options(address="auto", workers=2, grows=True)


def test_a_subject_may_be_named_for_the_whole_run(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    fake = run(summary(done=1))
    assert main([*COMMAND, "--select", "the mug"]) == 0
    assert fake.called_with["selection"].words == "the mug"
    assert main(COMMAND) == 0
    assert fake.called_with["selection"].text == "auto"
    assert main([*COMMAND, "--select", "all"]) == 0
    assert fake.called_with["selection"] is EVERY
    assert main([*COMMAND, "--select", "#2"]) == 0
    assert fake.called_with["selection"].thing == 2
    assert main([*COMMAND, "--select", "#0"]) == 2
    assert "counted from 1" in capsys.readouterr().err


def test_prompts_stand_instead_of_pictures(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    fake = run(summary(done=1))
    assert main(["submit", "--prompts", "things.txt", "--out", "assets/"]) == 0
    assert (fake.called_with["inputs"], fake.called_with["prompts"]) == ([], "things.txt")
    assert main(["submit", "--out", "assets/"]) == 2
    assert "--prompts FILE" in capsys.readouterr().err


def test_things_of_pictures_are_told_apart_from_pictures(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(done=4, left=2, pictures=3, unseen=2, interrupted=True))
    main([*COMMAND, "--select", "all"])
    assert capsys.readouterr().out.splitlines()[:2] == [
        "3 pictures gave 6 rows: 4 lifted, 2 not reached; 1 min 15 s",
        "  2 pictures not looked at yet: how many things they hold is not known",
    ]


def test_says_what_became_of_the_pictures(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(done=2, skipped=1, failures=(failure("a.png"),), left_out=("notes.txt",)))
    main(COMMAND)
    assert capsys.readouterr().out.splitlines() == [
        "4 pictures: 2 lifted, 1 had before, 1 failed; 1 min 15 s",
        "  failed  a.png  [unreadable-photo]  a.png: looks like text",
        "  left out 1 files that are no pictures",
        "gallery: assets/index.html",
    ]


def test_a_long_list_of_failures_is_cut(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(failures=tuple(failure(f"{i}.png") for i in range(23))))
    main(COMMAND)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  failed") for line in lines) == 20
    assert "  ... and 3 more, all in assets/manifest.parquet" in lines


def test_json_is_all_there_is_on_stdout(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(done=2, failures=(failure("a.png"),)), RunState(phase="lifting", rows=3))
    assert main([*COMMAND, "--json"]) == 1
    progress, told = map(json.loads, capsys.readouterr().out.splitlines())
    assert (progress["event"], progress["rows"]) == ("progress", 3)
    assert (told["event"], told["status"], told["rows"], told["done"], told["failed"]) == ("summary", 1, 3, 2, 1)
    assert told["failures"] == [
        {
            "name": "a.png",
            "source": "/pictures/a.png",
            "code": "unreadable-photo",
            "message": "a.png: looks like text",
        }
    ]
    assert told["gallery"] == "assets/index.html"


def test_progress_goes_to_stderr(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(done=2), RunState(phase="loading the models", rows=2))
    main(COMMAND)
    captured = capsys.readouterr()
    assert "loading the models" in captured.err
    assert "loading the models" not in captured.out


def test_quiet_says_nothing(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(summary(done=2), RunState(phase="lifting", rows=2))
    assert main([*COMMAND, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_on_stderr(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(ClusterError("the run does not fit the cluster: 3 CPU wanted, 2 there"))
    main(COMMAND)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "lift3d-ray: the run does not fit the cluster: 3 CPU wanted, 2 there\n"


def test_a_defect_says_how_to_see_the_traceback(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(ZeroDivisionError("division by zero"))
    main(COMMAND)
    err = capsys.readouterr().err
    assert err.startswith("lift3d-ray: unexpected ZeroDivisionError: division by zero.")
    assert "--debug" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(run: Put, capsys: pytest.CaptureFixture[str]) -> None:
    run(ZeroDivisionError("division by zero"))
    assert main(["--debug", *COMMAND]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
