"""The pose regressor's folder and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models.pose import PoseNetwork, PoseRegressor, load_pose
from lift3d_ray.models.small_network import save_network


def _network() -> PoseNetwork:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return PoseNetwork(image_size=32, widths=(4, 8), hidden_size=8)


def _picture(side: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_saved_regressor_answers_the_same(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path, network)
    loaded, fresh = load_pose(tmp_path).estimate(_picture()), PoseRegressor(network).estimate(_picture())
    assert loaded.elevation_deg == pytest.approx(fresh.elevation_deg, abs=0.1)
    assert loaded.half == pytest.approx(fresh.half, abs=0.01)


def test_answers_stay_possible_whatever_the_picture() -> None:
    network = _network()
    with torch.no_grad():
        network.state_dict()["read.2.bias"].add_(100.0)
    found = PoseRegressor(network).estimate(_picture())
    assert (found.elevation_deg, found.half, found.center_x, found.center_y) == (85.0, 1.0, 0.5, 0.5)


def test_a_picture_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        PoseRegressor(_network()).estimate(_picture().astype(np.float32))


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    save_network(tmp_path, _network())
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(BundleError, match=str(tmp_path)):
        load_pose(tmp_path)
