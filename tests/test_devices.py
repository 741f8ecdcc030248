"""A device that is not there is said so before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lift3d_ray.cli.main import WRONG_USE, main
from lift3d_ray.devices import check_device, has_bf16
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
