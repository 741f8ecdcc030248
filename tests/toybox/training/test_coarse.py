"""How the coarse shape is taught: what a picture is paired with, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.toybox.training import coarse_data
from lift3d_ray.toybox.training.coarse import CoarseTask, _batch, _mirror
from lift3d_ray.toybox.training.coarse_data import CoarseSet, build_coarse, load_coarse


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> CoarseSet:
    folder: Path = tmp_path_factory.mktemp("coarse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coarse_data, "_TOYS_A_SHARD", 2)
        build_coarse(folder, toys=4)
    return load_coarse(folder)


def test_every_picture_comes_with_the_solid_behind_it(pictures: CoarseSet) -> None:
    assert pictures.rgba_NSSC.shape == (12, 64, 64, 4)
    images, filled, back = _batch(pictures, np.arange(12))
    alpha = torch.from_numpy(pictures.rgba_NSSC[..., 3]).float()[:, None] / 255
    seen = torch.nn.functional.avg_pool2d(alpha, 2)[:, 0] > 0.5
    assert float((filled.amax(1).bool() == seen).float().mean()) > 0.96
    assert images.shape == (12, 3, 64, 64)
    assert float(back[filled.amax(1, keepdim=True).expand_as(back) == 0].mean()) < 0.05


def test_mirroring_mirrors_all_alike(pictures: CoarseSet) -> None:
    before, after = _batch(pictures, np.arange(12)), _batch(pictures, np.arange(12))
    _mirror(np.random.default_rng(0), *after)
    turned = [bool((a != b).any()) for a, b in zip(before[0], after[0], strict=True)]
    assert 0 < sum(turned) < 12
    for one, other in zip(before, after, strict=True):
        for row, is_turned in enumerate(turned):
            torch.testing.assert_close(other[row], one[row].flip(-1) if is_turned else one[row])


def test_a_few_steps_teach_a_few_toys(pictures: CoarseSet) -> None:
    task = CoarseTask(pictures, pictures, batch_size=6)
    before = _judged(task)["iou"]
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=3e-3)
    task.network.train()
    for step in range(20):
        loss, _ = task.loss(task.draw(np.random.default_rng(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert _judged(task)["iou"] > before + 0.1
    with torch.no_grad():
        assert task.sheet().ndim == 3


@torch.no_grad()
def _judged(task: CoarseTask) -> dict[str, float]:
    # Batch statistics of so few steps say nothing yet: judged as it was taught.
    return task.validate()
