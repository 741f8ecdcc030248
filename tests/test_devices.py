"""A device that is not there is said so before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.cli.main import WRONG_USE, main
from lift3d_ray.devices import check_device, chosen_dtype, has_bf16
from lift3d_ray.errors import ConfigError
from lift3d_ray.models.bundle import load_bundle, load_models


def test_the_processor_is_always_there() -> None:
    check_device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x"])
def test_no_device_of_that_name(name: str) -> None:
    with pytest.raises(ConfigError, match="choose cpu, cuda or cuda:N"):
        check_device(name)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="not supported"):
        check_device("meta")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device that"):
        load_models(load_bundle("toybox"), device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda:1")
    with pytest.raises(ConfigError, match="2 CUDA devices that"):
        check_device("cuda:2")


def test_the_command_says_it_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    photo = Path(__file__).parent.parent / "examples" / "duck.png"
    assert main(["lift", str(photo), "--out", str(tmp_path), "--device", "cuda"]) == WRONG_USE
    assert "--device cpu" in capsys.readouterr().err


def test_bf16_is_used_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert has_bf16("cpu") is fast
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert has_bf16("cuda:0")


@pytest.mark.parametrize(
    ("precision", "device", "fast", "wanted"),
    [
        ("float32", "cuda", True, torch.float32),
        ("bfloat16", "cpu", False, torch.bfloat16),
        ("auto", "cuda:1", True, torch.float16),
        ("auto", "cpu", True, torch.bfloat16),
        ("auto", "cpu", False, torch.float32),
    ],
)
def test_the_precision_of_a_device(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, fast: bool, wanted: torch.dtype
) -> None:
    monkeypatch.setattr("lift3d_ray.devices.has_bf16", lambda name: fast)
    assert chosen_dtype(precision, device) is wanted


def test_no_precision_of_that_name() -> None:
    with pytest.raises(ConfigError, match="unknown precision 'half': choose one of float32"):
        chosen_dtype("half", "cpu")


def test_a_bundle_answers_in_half_precision_as_in_single() -> None:
    bundle = load_bundle()
    single, half = (load_models(bundle, dtype=dtype) for dtype in (None, torch.bfloat16))
    rgb_HWC = np.full((64, 64, 3), 128, dtype=np.uint8)
    rgb_HWC[16:48, 16:48] = (200, 40, 30)
    one, other = (models.depth.estimate_disparity(rgb_HWC) for models in (single, half))
    assert not np.array_equal(one, other)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98
    vectors = [models.clip.encode_images(rgb_HWC[None])[0] for models in (single, half)]
    assert float(vectors[0] @ vectors[1]) > 0.99
