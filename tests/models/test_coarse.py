"""The coarse shape model's folder and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models.coarse import SIDE, SLICES, CoarseEstimator, CoarseNetwork, load_coarse
from lift3d_ray.models.small_network import save_network


def _network() -> CoarseNetwork:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return CoarseNetwork(image_size=64, widths=(4, 8), hidden_size=8)


def _picture(side: int = 90) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_saved_model_answers_the_same_with_probabilities_and_colours(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path, network)
    loaded, fresh = load_coarse(tmp_path).estimate(_picture()), CoarseEstimator(network).estimate(_picture())
    assert loaded.filled_SSD.shape == (SIDE, SIDE, SLICES)
    assert loaded.back_rgb_SSC.shape == (SIDE, SIDE, 3)
    for one, other in ((loaded.filled_SSD, fresh.filled_SSD), (loaded.back_rgb_SSC, fresh.back_rgb_SSC)):
        np.testing.assert_allclose(one, other, atol=0.01)
        assert one.dtype == np.float32
        assert 0 <= one.min() < one.max() <= 1


def test_slices_are_the_network_s_channels_in_order() -> None:
    network = _network()
    even = _picture(64)
    even[:, 32:] = even[:, 31::-1]
    answer = CoarseEstimator(network).estimate(even)
    picture = torch.from_numpy(even).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        filled, _ = network(picture)
    wanted = torch.sigmoid((filled + filled.flip(-1)) / 2)
    np.testing.assert_allclose(answer.filled_SSD[5, 9], wanted[0, :, 5, 9].numpy(), atol=1e-5)


def test_a_mirrored_picture_has_the_mirrored_solid() -> None:
    estimator = CoarseEstimator(_network())
    straight = estimator.estimate(_picture(64))
    mirrored = estimator.estimate(np.ascontiguousarray(_picture(64)[:, ::-1]))
    np.testing.assert_allclose(mirrored.filled_SSD, straight.filled_SSD[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(mirrored.back_rgb_SSC, straight.back_rgb_SSC[:, ::-1], atol=1e-6)


def test_a_picture_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        CoarseEstimator(_network()).estimate(_picture().astype(np.float32))


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    save_network(tmp_path, _network())
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(BundleError, match=str(tmp_path)):
        load_coarse(tmp_path)
