"""What has to be done now and then beside the jobs, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOG = logging.getLogger("lift3d_ray.chores")


@dataclass(frozen=True, kw_only=True)
class Chore:
    """Something to do again and again.

    Attributes:
        name: for the log.
        every_s: pause between two times.
        work: does it.
    """

    name: str
    every_s: float
    work: Callable[[], object]


class Chores:
    """Does chores until it is closed. One that fails is logged, and done again in its time."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(chore,), name=chore.name, daemon=True) for chore in chores
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Begin nothing any more; what is being done ends by itself."""
        self._closing.set()

    def _repeat(self, chore: Chore) -> None:
        while not self._closing.wait(chore.every_s):
            try:
                chore.work()
            except Exception:
                LOG.exception("%s failed", chore.name)
