"""What a loop's losses came to: their means over its last steps."""

from __future__ import annotations

from collections import deque

import numpy as np
from torch import Tensor


def numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    """Scalar losses by name, without their graph."""
    return {name: float(value.detach()) for name, value in losses.items()}


class RecentLosses:
    """The losses of the last tenth of the steps, and of one more.

    Args:
        steps: of the whole loop.
    """

    def __init__(self, steps: int) -> None:
        self._kept: deque[dict[str, float]] = deque(maxlen=max(1, steps // 10) + 1)

    def add(self, losses: dict[str, float]) -> None:
        """Note one step's; not every step needs to have them all."""
        self._kept.append(losses)

    def means(self) -> dict[str, float]:
        """By name, in the order of the names, over the steps that had each."""
        names = sorted({name for entry in self._kept for name in entry})
        return {name: float(np.mean([entry[name] for entry in self._kept if name in entry])) for name in names}
