"""The board of a run: which scenes are being lifted, how far they are, and how often each was begun.

A plain class. In a run it lives in one small Ray actor that workers write to and the submitting side reads, so that
it survives the death of any worker.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from lift3d_ray.types import Progress

Ending = Literal["done", "failed", "skipped", "elsewhere"]

STAGES = ("perceive", "optimize")
"""Stages that a row may lose its worker in."""

BUSY = 0
"""Answer of ``begin`` where another row with the same picture is being lifted now."""


@dataclass(frozen=True, kw_only=True)
class RunningScene:
    """A scene being worked on.

    Attributes:
        key: key of its lift.
        name: what people call its row.
        progress: its last report.
        seconds: time since it was begun.
    """

    key: str
    name: str
    progress: Progress
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PriorLoad:
    """How busy the shared prior is.

    Attributes:
        mean_batch: latents per forward pass.
        utilisation: share of the time spent in forward passes, [0, 1].
        queries: queries answered.
    """

    mean_batch: float = 0.0
    utilisation: float = 0.0
    queries: int = 0


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How a run stands.

    Attributes:
        phase: what the run is doing, in a word or two.
        rows: input rows in all; each thing counts where pictures are parted into things.
        unseen: pictures among them whose things are not counted yet, so that there may be more rows.
        done: rows lifted by this run.
        failed: rows that failed, now or earlier.
        skipped: rows that had been lifted before.
        running: scenes being lifted now.
        elapsed_s: seconds since the run began.
        working_s: seconds since the first row could begin.
        prior: load of the prior.
    """

    phase: str
    rows: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    running: tuple[RunningScene, ...] = ()
    elapsed_s: float = 0.0
    working_s: float = 0.0
    prior: PriorLoad = field(default_factory=PriorLoad)
    unseen: int = 0

    @property
    def left(self) -> int:
        """Rows not ended yet."""
        return max(0, self.rows - self.done - self.failed - self.skipped)

    @property
    def eta_s(self) -> float | None:
        """Seconds to go at the pace of the rows lifted so far; None before the first."""
        if not self.done:
            return None
        return self.working_s * self.left / self.done


@dataclass(kw_only=True)
class _Scene:
    name: str
    began: float
    progress: Progress


class RunBoard:
    """What is going on in a run.

    Args:
        rows: input rows.
        parts: each of them is a picture to be parted into things, which are rows of their own.
    """

    def __init__(self, rows: int, *, parts: bool = False) -> None:
        self._rows = rows
        self._parts = parts
        self._things: dict[str, list[str]] = {}
        self._began = time.monotonic()
        self._holders: dict[str, str] = {}
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._running: dict[str, _Scene] = {}
        self._endings: dict[tuple[str, str], Ending] = {}

    def begin(self, stage: str, key: str, source: str, name: str) -> int:
        """Say that a stage takes up a row.

        A row that begins a stage again without having ended lost its worker; another row that begins meanwhile holds
        the same picture.

        Returns:
            The number of this attempt, from 1, or ``BUSY``.
        """
        if self._holders.setdefault(key, source) != source:
            return BUSY
        self._attempts[stage, key] += 1
        progress = Progress(stage=stage, step=0, steps=1)
        self._running[key] = _Scene(name=name, began=time.monotonic(), progress=progress)
        return self._attempts[stage, key]

    def report(self, key: str, progress: Progress) -> None:
        """Note how far a scene is."""
        if key in self._running:
            self._running[key].progress = progress

    def wait(self, stage: str, key: str) -> None:
        """Say that a row came through a stage well, and waits for the next."""
        self._running.pop(key, None)
        self._attempts.pop((stage, key), None)

    def part(self, key: str, source: str, things: list[str]) -> None:
        """Say that a picture's row is over, and which rows its things are, by their sources."""
        self._let_go(key, source)
        self._things[source] = things

    def end(self, key: str, source: str, ending: Ending) -> None:
        """Say how a row ended; ``elsewhere`` rows are not counted, for they come again."""
        self._let_go(key, source)
        if ending != "elsewhere":
            self._endings.setdefault((key, source), ending)

    def _let_go(self, key: str, source: str) -> None:
        if self._holders.get(key) == source:
            del self._holders[key]
            self._running.pop(key, None)
            for stage in STAGES:
                self._attempts.pop((stage, key), None)

    def state(self) -> RunState:
        """How the run stands."""
        now = time.monotonic()
        running = [
            RunningScene(key=key, name=scene.name, progress=scene.progress, seconds=now - scene.began)
            for key, scene in self._running.items()
        ]
        counts = Counter(self._endings.values())
        return RunState(
            phase="lifting",
            rows=self._rows + sum(len(things) - 1 for things in self._things.values()),
            done=counts["done"],
            failed=counts["failed"],
            skipped=counts["skipped"],
            running=tuple(running),
            working_s=now - self._began,
            unseen=self._unseen(),
        )

    def _unseen(self) -> int:
        if not self._parts:
            return 0
        things = {thing for parted in self._things.values() for thing in parted}
        looked_at = set(self._things) | {source for _, source in self._endings if source not in things}
        return self._rows - len(looked_at)
