"""Showing a run: a live table on a terminal, plain lines elsewhere, machine lines on request, or nothing."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from lift3d_ray.batch.board import RunningScene, RunState

if TYPE_CHECKING:
    from rich.console import RenderableType

Watch = Callable[[RunState], None]

PLAIN_EVERY_S = 30.0
"""Longest silence between plain lines while nothing ends."""

_SHOWN_SCENES = 12


@contextmanager
def show(
    *, quiet: bool = False, machine: bool = False, stderr: TextIO | None = None, stdout: TextIO | None = None
) -> Iterator[Watch]:
    """How a run is shown while it goes on; give what is yielded to ``submit`` as ``on_progress``.

    Args:
        quiet: show nothing.
        machine: one JSON object a line on stdout instead.
        stderr: where people read; a live table if it is a terminal, lines otherwise.
        stdout: where machines read.
    """
    people, machines = stderr or sys.stderr, stdout or sys.stdout
    if machine:
        yield JsonLines(machines)
    elif quiet:
        yield _nothing
    elif not people.isatty():
        yield PlainLines(people)
    else:
        with _live_table(people) as watch:
            yield watch


def _nothing(state: RunState) -> None:
    """Show nothing."""


class JsonLines:
    """One JSON object a line whenever something changed. Values that are not finite become null."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""

    def __call__(self, state: RunState) -> None:
        """Write the state if it differs from the last one but for the clock."""
        values = asdict(state)
        elapsed_s = round(values.pop("elapsed_s"), 3)
        values.pop("working_s")
        for scene in values["running"]:
            scene.pop("seconds")
        text = json.dumps(_finite({"event": "progress", **values}))
        if text != self._last:
            self._last = text
            clock = json.dumps({"elapsed_s": elapsed_s, "eta_s": state.eta_s})
            self._stream.write(f"{text[:-1]}, {clock[1:]}\n")
            self._stream.flush()


class PlainLines:
    """A line whenever a row ends or the phase changes, and now and then in between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last: tuple[str, int] | None = None
        self._at = -math.inf

    def __call__(self, state: RunState) -> None:
        """Write a line if there is something new."""
        now, ended = self._clock(), (state.phase, state.left)
        if ended == self._last and now - self._at < PLAIN_EVERY_S:
            return
        self._last, self._at = ended, now
        self._stream.write(headline(state) + "\n")
        self._stream.flush()


def headline(state: RunState) -> str:
    """The state in a line."""
    counts = [f"{state.done} done"]
    counts += [f"{state.skipped} had been done"] if state.skipped else []
    counts += [f"{state.failed} failed"] if state.failed else []
    counts += [f"{len(state.running)} running"] if state.running else []
    more = f" and more, {state.unseen} pictures not looked at yet" if state.unseen else ""
    parts = [f"{state.phase}: {', '.join(counts)} of {state.rows}{more}"]
    if state.prior.queries:
        parts.append(f"prior {state.prior.mean_batch:.1f} latents a pass, busy {state.prior.utilisation:.0%}")
    parts.append(f"{duration(state.elapsed_s)} gone")
    if state.eta_s is not None and state.left:
        parts.append(f"{'at least' if state.unseen else 'about'} {duration(state.eta_s)} to go")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """A time span for people: ``42 s``, ``3 min 05 s``, ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextmanager
def _live_table(stream: TextIO) -> Iterator[Watch]:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=4, transient=True) as live:
        yield lambda state: live.update(table(state))


def table(state: RunState) -> RenderableType:
    """The state as a rich table: a headline, a bar, and a line for every running scene."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = ProgressBar(total=max(1, state.rows), completed=state.rows - state.left, width=60)
    scenes = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("scene", "stage", "step", "loss", "batch", "time"):
        scenes.add_column(column, justify="left" if column in ("scene", "stage") else "right", no_wrap=True)
    for scene in state.running[:_SHOWN_SCENES]:
        scenes.add_row(*_cells(scene))
    hidden = len(state.running) - _SHOWN_SCENES
    more = [Text(f"and {hidden} more", style="dim")] if hidden > 0 else []
    return Group(Text(headline(state)), bar, *([scenes] if state.running else []), *more)


def _cells(scene: RunningScene) -> tuple[str, ...]:
    progress = scene.progress
    step = f"{progress.step}/{progress.steps}" if progress.steps > 1 else ""
    loss = f"{progress.loss:.4f}" if math.isfinite(progress.loss) else ""
    batch = f"{progress.prior_batch:.1f}" if progress.prior_batch else ""
    return scene.name[-40:], progress.stage, step, loss, batch, duration(scene.seconds)


def _finite(value: object) -> object:
    """The same value with null for what JSON cannot say."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
