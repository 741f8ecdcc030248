from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from lift3d_ray.batch.board import PriorLoad, RunningScene, RunState
from lift3d_ray.batch.progress import JsonLines, PlainLines, duration, headline, show, table
from lift3d_ray.types import Progress

SCENE = RunningScene(
    key="k",
    name="cat.png",
    progress=Progress(stage="optimize", step=30, steps=120, loss=0.25, prior_batch=3.5),
    seconds=8,
)
STATE = RunState(
    phase="lifting",
    rows=10,
    done=2,
    failed=1,
    skipped=3,
    running=(SCENE,),
    elapsed_s=10,
    working_s=10,
    prior=PriorLoad(mean_batch=3.4, utilisation=0.25, queries=9),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_headline_says_it_all() -> None:
    assert headline(STATE) == (
        "lifting: 2 done, 3 had been done, 1 failed, 1 running of 10; prior 3.4 latents a pass, busy 25%; 10 s gone; "
        "about 20 s to go"
    )


def test_the_headline_owns_that_things_are_not_counted_yet() -> None:
    said = headline(replace(STATE, unseen=2))
    assert "1 running of 10 and more, 2 pictures not looked at yet;" in said
    assert said.endswith("at least 20 s to go")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_come_when_something_ends_and_now_and_then() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = PlainLines(stream, clock=lambda: now[0])
    for state, at in ((STATE, 0), (STATE, 1), (replace(STATE, done=3), 2), (replace(STATE, done=3), 40)):
        now[0] = at
        lines(state)
    assert len(stream.getvalue().splitlines()) == 3


def test_machine_lines_are_json_and_say_only_what_is_new() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines(STATE)
    lines(replace(STATE, elapsed_s=11))
    unknown = replace(SCENE, progress=Progress(stage="mesh", step=0, steps=1))
    lines(replace(STATE, running=(unknown,)))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["done"], first["eta_s"]) == ("progress", 2, 20)
    assert first["running"][0]["progress"]["loss"] == 0.25
    assert second["running"][0]["progress"]["loss"] is None


def test_a_terminal_gets_a_table_with_every_running_scene() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(table(replace(STATE, running=(SCENE,) * 20)))
    output = console.file
    assert isinstance(output, io.StringIO)
    text = output.getvalue()
    assert text.count("cat.png") == 12
    assert "30/120" in text
    assert "0.2500" in text
    assert "and 8 more" in text


def test_each_audience_gets_its_own_stream() -> None:
    people, machines = io.StringIO(), io.StringIO()
    with show(machine=True, stderr=people, stdout=machines) as watch:
        watch(STATE)
    assert (people.getvalue(), machines.getvalue()[0]) == ("", "{")
    with show(quiet=True, stderr=people, stdout=machines) as watch:
        watch(STATE)
    assert people.getvalue() == ""
    with show(stderr=people, stdout=machines) as watch:
        watch(STATE)
    assert people.getvalue() == headline(STATE) + "\n"
    terminal = Terminal()
    with show(stderr=terminal, stdout=machines) as watch:
        watch(STATE)
    assert "lifting: 2 done" in terminal.getvalue()
    assert len(machines.getvalue().splitlines()) == 1
