"""How the pose regressor is taught: the answers are those of the canonical picture, and it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lift3d_ray.toybox.training.pictures import Toys
from lift3d_ray.toybox.training.pose import PoseTask, true_answers
from tests.toybox.training.small import write_small_shard


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    folder = tmp_path_factory.mktemp("views")
    write_small_shard(folder, 6)
    return Toys.load(folder)


def test_answers_are_read_off_the_canonical_picture(toys: Toys) -> None:
    chosen, view = np.array([1, 4]), np.array([0, 3])
    answers = true_answers(toys, chosen, view)
    alpha = toys.rgba(chosen, view)[..., 3] > 63
    for row, mask in enumerate(alpha):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        half = max(columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]) / 64
        up = 1 - (rows[0] + rows[-1] + 1) / 64
        assert float(answers[row, 0]) == toys.elevation_deg_NV[chosen[row], view[row]]
        assert float(answers[row, 1]) == pytest.approx(np.log(half), abs=0.02)
        assert float(answers[row, 3]) == pytest.approx(up, abs=0.02)


def test_a_few_steps_teach_a_few_toys(toys: Toys) -> None:
    task = PoseTask(toys, toys, batch_size=12)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=2e-3)
    losses = []
    for step in range(25):
        loss, _ = task.loss(task.draw(np.random.default_rng(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    task.network.eval()
    with torch.no_grad():
        found = task.validate()
        assert task.sheet().ndim == 3
    assert set(found) >= {"elevation_deg", "log_half", "center_x", "center_y", "elevation_deg_constant"}
