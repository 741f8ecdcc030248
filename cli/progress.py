"""How one lift stands, on stderr."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from lift3d_ray.models.weights import PullProgress
    from lift3d_ray.types import Progress

BAR_WIDTH = 24


@contextmanager
def lift_watch(stream: TextIO, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Something to tell how a lift stands, for the length of the block: a live line, on a terminal only."""
    if quiet or not stream.isatty():
        yield lambda progress: None
        return

    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def line(progress: Progress) -> Table:
        bar = ProgressBar(total=max(1, progress.steps), completed=progress.step, width=BAR_WIDTH)
        loss = "" if math.isnan(progress.loss) else f"loss {progress.loss:.3f}"
        table = Table.grid(padding=(0, 2))
        table.add_row(progress.stage, bar, f"{progress.step}/{progress.steps}", loss)
        return table

    with Live(console=Console(file=stream), transient=True, refresh_per_second=4) as live:
        yield lambda progress: live.update(line(progress))


@contextmanager
def pull_watch(stream: TextIO, *, quiet: bool) -> Iterator[Callable[[PullProgress], None]]:
    """Something to tell how a pull stands, for the length of the block: a bar a file, on a terminal only."""
    if quiet or not stream.isatty():
        yield lambda progress: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    tasks = {}
    columns = (TextColumn("{task.description}"), BarColumn(BAR_WIDTH), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(file=stream)) as bars:

        def watch(progress: PullProgress) -> None:
            if progress.file not in tasks:
                tasks[progress.file] = bars.add_task(progress.file, total=progress.size_bytes)
            bars.update(tasks[progress.file], completed=progress.done_bytes)

        yield watch
