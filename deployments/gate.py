"""The way into a model that serves several callers."""

from __future__ import annotations

import threading
from types import TracebackType

from lift3d_ray.errors import Lift3DError


class Gate:
    """Lets one call at a time into a model, and remembers if the model broke.

    Errors of ours and ``ValueError`` are answers about the query. Any other ``RuntimeError`` (a lost GPU, corrupted
    memory) is taken for the model's own, after which the replica reports itself unhealthy and is replaced.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._broken = ""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, RuntimeError) and not isinstance(error, Lift3DError):
            self._broken = f"{type(error).__name__}: {error}"
        self._lock.release()

    def check(self) -> None:
        """Raise if the model broke.

        Raises:
            RuntimeError: with what the model said.
        """
        if self._broken:
            raise RuntimeError(f"the model broke: {self._broken}")
