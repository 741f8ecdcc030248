"""Talking to the board's actor from a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import ray

from lift3d_ray.batch.board import Ending, RunBoard, RunState
from lift3d_ray.types import Progress


@dataclass(frozen=True, kw_only=True)
class BoardLink:
    """The board of a run, wherever it lives. Only ``begin`` and ``state`` wait for the answer."""

    actor: Any

    def begin(self, stage: str, key: str, source: str, name: str) -> int:
        """See ``RunBoard.begin``."""
        return cast(int, ray.get(self.actor.begin.remote(stage, key, source, name)))

    def report(self, key: str, progress: Progress) -> None:
        """See ``RunBoard.report``."""
        self.actor.report.remote(key, progress)

    def wait(self, stage: str, key: str) -> None:
        """See ``RunBoard.wait``."""
        self.actor.wait.remote(stage, key)

    def part(self, key: str, source: str, things: list[str]) -> None:
        """See ``RunBoard.part``."""
        self.actor.part.remote(key, source, things)

    def end(self, key: str, source: str, ending: Ending) -> None:
        """See ``RunBoard.end``."""
        self.actor.end.remote(key, source, ending)

    def state(self, timeout_s: float) -> RunState:
        """See ``RunBoard.state``.

        Raises:
            ray.exceptions.RayError: the board is gone or did not answer in time.
        """
        return cast(RunState, ray.get(self.actor.state.remote(), timeout=timeout_s))


@contextmanager
def open_board(rows: int, *, parts: bool = False) -> Iterator[BoardLink]:
    """The board of a run, for its length. It takes no CPU."""
    actor: Any = ray.remote(num_cpus=0, max_restarts=0)(RunBoard).remote(rows, parts=parts)
    try:
        yield BoardLink(actor=actor)
    finally:
        ray.kill(actor)
