"""The toys that the models learn from."""

from __future__ import annotations

import numpy as np

from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.remix import bend_toy, join_toys, resize_parts, taper_toy
from lift3d_ray.toybox.warp import warp_toy
from lift3d_ray.toybox.world import ToyObject, sample_object


def data_toy(seed: int, *, split: Split) -> ToyObject:
    """The toy of a number: of training toys three in four in other proportions, held-out ones as they are.

    Its words are true: what learns names learns from these.
    """
    toy = sample_object(seed, split=split)
    if split is not Split.TRAIN or seed % 4 == 0:
        return toy
    rng = np.random.default_rng([seed, 41])
    if seed % 4 != 1:
        toy = resize_parts(toy, rng)
    if seed % 4 != 2:
        toy = warp_toy(toy, rng)
    return toy


def shape_toy(seed: int, *, split: Split) -> ToyObject:
    """The toy of a number for what learns shapes: of training toys every second is no longer what it is called."""
    toy = data_toy(seed, split=split)
    if split is not Split.TRAIN or seed % 8 < 4:
        return toy
    rng = np.random.default_rng([seed, 43])
    if rng.random() < 0.4:
        toy = join_toys(toy, data_toy(int(rng.integers(1 << 40)), split=split), rng)
    if rng.random() < 0.5:
        toy = taper_toy(toy, rng)
    if rng.random() < 0.4:
        toy = bend_toy(toy, rng)
    return toy
