"""Weights in eight bits: near to what they were, half as large, and refused where damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lift3d_ray.models.small_network import load_weights, save_weights


def weights() -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(16, 8, 3, 3, generator=draws) * torch.logspace(-3, 1, 16)[:, None, None, None],
        "dead.weight": torch.zeros(64, 64),
        "few.weight": torch.randn(4, 4, generator=draws),
        "conv.bias": torch.randn(16, generator=draws),
        "count": torch.tensor(7),
    }


def test_every_row_keeps_its_own_precision(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, weights(), eight_bits=True)
    loaded = load_weights(path)
    assert loaded.keys() == weights().keys()
    for name, value in weights().items():
        assert loaded[name].shape == value.shape
    rows = weights()["conv.weight"].flatten(1)
    error = (loaded["conv.weight"].flatten(1) - rows).abs().amax(1)
    assert (error <= rows.abs().amax(1) / 253).all()
    assert error.max() > 0
    assert not loaded["dead.weight"].any()
    for name in ("few.weight", "conv.bias"):
        torch.testing.assert_close(loaded[name].float(), weights()[name], atol=2e-3, rtol=1e-3)


def test_eight_bits_take_half_the_room(tmp_path: Path) -> None:
    state = {"weight": torch.randn(256, 256)}
    for name, eight in (("half", False), ("eight", True)):
        save_weights(tmp_path / name, state, eight_bits=eight)
    half, eight_bits = ((tmp_path / name).stat().st_size for name in ("half", "eight"))
    assert 0.5 < eight_bits / half < 0.52


def test_whole_numbers_without_scales_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "model.safetensors"
    save_weights(path, weights(), eight_bits=True)
    packed = load_file(path)
    del packed["conv.weight.scale"]
    save_file(packed, path)
    with pytest.raises(KeyError, match=r"conv\.weight\.scale"):
        load_weights(path)
