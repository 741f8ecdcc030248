"""The toys that the models learn from."""

from __future__ import annotations

import numpy as np

from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.warp import warp_toy
from lift3d_ray.toybox.world import ToyObject, sample_object


def data_toy(seed: int, *, split: Split) -> ToyObject:
    """The toy of a number: of training toys every second in other proportions, held-out ones as they are."""
    toy = sample_object(seed, split=split)
    if split is not Split.TRAIN or seed % 2 == 0:
        return toy
    return warp_toy(toy, np.random.default_rng([seed, 41]))
