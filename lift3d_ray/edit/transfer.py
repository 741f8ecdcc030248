"""What an edit of the seen side means for the unseen one: places of the same colour change alike.

Every place takes the weighted median of seen places' new colours, and keeps how it differed from the median of their
old ones, up to a limit. Weights fall with the distance in colour and, more slowly, with that in the picture. So a
pattern painted over some of a colour stays where it was painted, since the median is what happened to most of it; one
half painted otherwise is so behind as well; and a colour that was nowhere seen joins the one most like it.

Shape suffixes: M seen places, N others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.types import Float32

COLOR_REACH = 0.08
"""Deviation of the weights by colour, in sRGB levels of [0, 1]."""

PLACE_REACH = 0.2
"""Deviation of the weights by place, in widths of the picture."""

KEPT_DETAIL = 0.1
"""How far at most, in sRGB levels, a place may differ from the seen colours that it follows."""

MOST_SEEN = 1500
"""Seen places asked at most, spread evenly over all of them: a median needs no more."""

_COLOR_CELLS, _PLACE_CELLS = 48, 24
"""Cells along an axis within which places share an answer: far narrower than the weights."""

_CHUNK = 4096


class ColorTransfer:
    """Changes of colour, learnt where both colours are known.

    Args:
        before_M3: (M, 3) float32 sRGB colours before the edit.
        after_M3: (M, 3) what they became.
        place_M2: (M, 2) where they are in the picture, in widths of it.

    Raises:
        ValueError: no places, or other numbers of them.
    """

    def __init__(self, before_M3: Float32, after_M3: Float32, place_M2: Float32) -> None:
        if len(before_M3) == 0 or not len(before_M3) == len(after_M3) == len(place_M2):
            raise ValueError(
                f"wanted as many colours before and after as places, and some, got {len(before_M3)}, "
                f"{len(after_M3)} and {len(place_M2)}"
            )
        chosen = np.unique(np.linspace(0, len(before_M3) - 1, MOST_SEEN).astype(np.int64))
        self._key = _key(before_M3[chosen], place_M2[chosen])
        # Per channel, of old and new colours: the order of the values, and the values in it.
        known = np.concatenate([before_M3[chosen], after_M3[chosen]], axis=1)
        self._order = np.argsort(known, axis=0, kind="stable")
        self._sorted = np.take_along_axis(known, self._order, axis=0)

    def __call__(self, rgb_N3: Float32, place_N2: Float32) -> Float32:
        """(N, 3) float32 in [0, 1] what colours become at places of the picture that need not be seen in it."""
        if len(rgb_N3) == 0:
            return rgb_N3
        cells, cell_N = _cells(rgb_N3, place_N2)
        seen = np.concatenate([self._medians(cells[k : k + _CHUNK]) for k in range(0, len(cells), _CHUNK)])[cell_N]
        own = rgb_N3 - seen[:, :3]
        size = np.linalg.norm(own, axis=1, keepdims=True)
        kept = own * np.minimum(1, KEPT_DETAIL / np.maximum(size, 1e-6))
        return np.asarray(np.clip(seen[:, 3:] + kept, 0, 1), dtype=np.float32)

    def _medians(self, key_N5: Float32) -> Float32:
        """(N, 6) old and new colours of the seen places that places with these keys follow."""
        squared = (key_N5**2).sum(1)[:, None] + (self._key**2).sum(1)[None] - 2 * key_N5 @ self._key.T
        # Relative to the nearest seen place: a colour that was nowhere seen follows the one most like it.
        weight_NM = np.exp(-0.5 * (squared - squared.min(1, keepdims=True)))
        half = 0.5 * weight_NM.sum(1)
        found = np.empty((len(key_N5), 6), dtype=np.float32)
        for channel, (order, values) in enumerate(zip(self._order.T, self._sorted.T, strict=True)):
            rank = (weight_NM[:, order].cumsum(1) < half[:, None]).sum(1)
            found[:, channel] = values[np.minimum(rank, len(values) - 1)]
        return found


def _key(rgb_N3: Float32, place_N2: Float32) -> Float32:
    """(N, 5) places in the space in which weights fall with a deviation of 1."""
    return np.concatenate([rgb_N3 / COLOR_REACH, place_N2 / PLACE_REACH], axis=1).astype(np.float32)


def _cells(rgb_N3: Float32, place_N2: Float32) -> tuple[Float32, NDArray[np.int64]]:
    """The keys (C, 5) of the middles of the cells that places fall into, and (N,) the cell of each."""
    steps = np.array([_COLOR_CELLS] * 3 + [_PLACE_CELLS] * 2, dtype=np.float32)
    cells = np.round(np.clip(np.concatenate([rgb_N3, place_N2], axis=1), 0, 1) * steps).astype(np.int64)
    number = cells @ np.cumprod([1, *(steps[:-1] + 1)]).astype(np.int64)
    _, first, cell_N = np.unique(number, return_index=True, return_inverse=True)
    middle = np.asarray(cells[first] / steps, dtype=np.float32)
    return _key(middle[:, :3], middle[:, 3:]), cell_N.reshape(-1)
