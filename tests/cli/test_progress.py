from __future__ import annotations

import io

import pytest

from lift3d_ray.cli.progress import lift_watch
from lift3d_ray.types import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_sees_the_stage() -> None:
    stream = Terminal()
    with lift_watch(stream, quiet=False) as report:
        report(Progress(stage="segment", step=0, steps=1))
        report(Progress(stage="optimize", step=30, steps=120, loss=0.25))
    for wanted in ("optimize", "30/120", "loss 0.250"):
        assert wanted in stream.getvalue()
    assert "nan" not in stream.getvalue()


@pytest.mark.parametrize(("stream", "quiet"), [(Terminal(), True), (io.StringIO(), False)])
def test_nobody_else_sees_anything(stream: io.StringIO, quiet: bool) -> None:
    with lift_watch(stream, quiet=quiet) as report:
        report(Progress(stage="optimize", step=1, steps=2))
    assert stream.getvalue() == ""
