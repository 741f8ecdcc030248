"""How a run stands, on stderr: a live board on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lift3d_ray.batch.board import RunState
    from lift3d_ray.types import Progress

NAME_WIDTH = 32
BAR_WIDTH = 24


@contextmanager
def run_watch(stream: TextIO, *, quiet: bool) -> Iterator[Callable[[RunState], None] | None]:
    """Something to tell how a run stands, for the length of the block; None where nobody wants to know."""
    if quiet:
        yield None
        return
    console = Console(file=stream)
    if not console.is_terminal:
        yield _Lines(stream).tell
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield lambda state: live.update(board(state))


@contextmanager
def lift_watch(stream: TextIO, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Something to tell how one lift stands, for the length of the block."""
    console = Console(file=stream)
    if quiet or not console.is_terminal:
        yield lambda progress: None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield lambda progress: live.update(_scene_table([("", progress)]))


def board(state: RunState) -> RenderableType:
    """Counts, the prior's load, and one line for every running scene."""
    parts: list[RenderableType] = [Text(headline(state), style="bold")]
    if state.prior.queries:
        load = f"prior: {state.prior.mean_batch:.1f} latents a pass, busy {state.prior.utilisation:.0%} of the time"
        parts.append(Text(load, style="dim"))
    if state.running:
        parts.append(_scene_table([(scene.name, scene.progress) for scene in state.running]))
    return Group(*parts)


def headline(state: RunState) -> str:
    """Where a run stands, in one line."""
    counts = [f"{state.done} lifted", f"{len(state.running)} running", f"{state.failed} failed"]
    if state.skipped:
        counts.append(f"{state.skipped} had before")
    counts.append(f"{state.left} of {state.rows} to go")
    left = "" if state.eta_s is None else f", about {duration(state.eta_s)} left"
    return f"{state.phase}: {', '.join(counts)} after {duration(state.elapsed_s)}{left}"


def duration(seconds: float) -> str:
    """``75`` as ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _scene_table(scenes: list[tuple[str, Progress]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, progress in scenes:
        loss = "" if math.isnan(progress.loss) else f"loss {progress.loss:.3f}"
        table.add_row(
            name if len(name) <= NAME_WIDTH else f"...{name[3 - NAME_WIDTH :]}",
            progress.stage,
            ProgressBar(total=max(1, progress.steps), completed=progress.step, width=BAR_WIDTH),
            f"{progress.step}/{progress.steps}",
            loss,
        )
    return table


class _Lines:
    """One line whenever a count or the phase changes, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[object, ...] = ()

    def tell(self, state: RunState) -> None:
        now = (state.phase, state.done, state.failed, state.skipped)
        if now != self._last:
            self._last = now
            print(headline(state), file=self._stream, flush=True)
