"""A shard of very few toys' views, for tests of trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from lift3d_ray.toybox import Split
from lift3d_ray.toybox.training import views


def write_small_shard(folder: Path, toys: int) -> None:
    """Write one shard of this many training toys into ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "SHARD", toys)
        views._write_shard(folder, 0, Split.TRAIN, 0, any_shape=False)
