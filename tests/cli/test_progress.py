from __future__ import annotations

import io

import pytest
from rich.console import Console

from lift3d_ray.batch.board import PriorLoad, RunningScene, RunState
from lift3d_ray.cli.progress import board, duration, headline, lift_watch, run_watch
from lift3d_ray.types import Progress


def scene(name: str, step: int, loss: float) -> RunningScene:
    return RunningScene(
        key=name, name=name, progress=Progress(stage="optimize", step=step, steps=120, loss=loss), seconds=3.0
    )


STATE = RunState(
    phase="lifting",
    rows=10,
    done=4,
    failed=1,
    skipped=2,
    running=(scene("mug.png", 30, 0.5), scene("a/very/long/folder/of/pictures/with/a/chair.png", 60, float("nan"))),
    elapsed_s=80.0,
    prior=PriorLoad(mean_batch=3.2, utilisation=0.75, queries=100),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_board_tells_what_a_waiting_person_wants_to_know() -> None:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(board(STATE))
    text = console.export_text()
    for wanted in ("4 lifted, 2 running, 1 failed, 2 had before, 3 of 10 to go", "3.2 latents a pass", "75%"):
        assert wanted in text
    assert "mug.png" in text
    assert "30/120" in text
    assert "loss 0.500" in text
    assert "...lder/of/pictures/with/a/chair.png"[-20:] in text
    assert "nan" not in text


def test_headline_estimates_the_rest_once_something_is_done() -> None:
    assert headline(STATE).endswith("after 1 min 20 s, about 1 min 00 s left")
    assert "left" not in headline(RunState(phase="starting Ray", rows=10))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (3660, "1 h 01 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_log_gets_a_line_for_each_change_and_no_more() -> None:
    stream = io.StringIO()
    with run_watch(stream, quiet=False) as watch:
        assert watch is not None
        watch(RunState(phase="starting Ray", rows=2))
        watch(RunState(phase="lifting", rows=2, elapsed_s=5))
        watch(RunState(phase="lifting", rows=2, elapsed_s=6))
        watch(RunState(phase="lifting", rows=2, done=1, elapsed_s=7))
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["starting Ray", "lifting", "lifting"]
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_the_live_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with run_watch(stream, quiet=False) as watch:
        assert watch is not None
        watch(STATE)
    assert "\x1b[" in stream.getvalue()
    assert "4 lifted" in stream.getvalue()


def test_quiet_has_nothing_to_tell() -> None:
    stream = Terminal()
    with run_watch(stream, quiet=True) as watch:
        assert watch is None
    with lift_watch(stream, quiet=True) as report:
        report(Progress(stage="optimize", step=1, steps=2))
    assert stream.getvalue() == ""


def test_one_lift_shows_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with lift_watch(stream, quiet=False) as report:
        report(Progress(stage="optimize", step=1, steps=2, loss=0.25))
    assert "optimize" in stream.getvalue()
    assert "loss 0.250" in stream.getvalue()
