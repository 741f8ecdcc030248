"""``--bundle``, ``--model``, ``--weights`` and ``--offline`` of every command that loads a bundle."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lift3d_ray.batch.submit as batch
import lift3d_ray.evaluate as judging
import lift3d_ray.models.bundle as bundles
from lift3d_ray.cli.main import main
from lift3d_ray.errors import BundleError
from tests.models.small_catalog import small_catalog

COMMANDS = {
    "lift": ["lift", "photo.png", "--out", "asset"],
    "words": ["lift", "--prompt", "a mug", "--without-picture", "--out", "asset"],
    "edit": ["edit", "asset", "--prompt", "a golden mug", "--out", "edited"],
    "submit": ["submit", "photo.png", "--out", "assets"],
    "evaluate": ["evaluate", "--count", "1"],
    "check": ["models", "check"],
    "card": ["models", "card"],
}


class Doors:
    """Where bundles are opened: every one notes the name, does something, and opens nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.then: Callable[[], object] = lambda: None
        monkeypatch.setattr(bundles, "load_bundle", self.open)
        monkeypatch.setattr(batch, "submit", lambda *_, bundle, **__: self.open(bundle))
        monkeypatch.setattr(judging, "judge_all", lambda questions, bundle, *_, **__: self.open(bundle))

    def open(self, name: str) -> Any:
        self.names.append(name)
        self.then()
        raise BundleError("nothing is opened here")


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((100, 100, 3), 128, dtype=np.uint8)).save("photo.png")
    with small_catalog(tmp_path / "data", monkeypatch):
        yield Doors(monkeypatch)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_published_bundle_is_opened_where_weights_says(doors: Doors, tmp_path: Path, command: str) -> None:
    typed = COMMANDS[command] + (["small"] if command in ("check", "card") else ["--bundle", "small"])
    assert main([*typed, "--weights", "w"]) == 1
    assert doors.names == [f"{tmp_path}/w/bundles/small"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "card"])
def test_models_are_mixed(doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("LIFT3D_WEIGHTS", str(tmp_path / "v"))
    assert main([*COMMANDS[command], "--model", "segmenter=other-sam"]) == 1
    assert doors.names == [f"{tmp_path}/v/bundles/toybox+segmenter=other-sam"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_embedded_bundle_is_called_as_ever(doors: Doors, command: str) -> None:
    assert main([*COMMANDS[command], "--offline"]) == 1
    assert doors.names == ["toybox"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "submit"])
def test_offline_a_connection_is_stopped(doors: Doors, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    doors.then = lambda: socket.create_connection(("huggingface.co", 443), timeout=1)
    assert main([*COMMANDS[command], "--offline"]) == 2
    assert "--offline promises" in capsys.readouterr().err


def test_offline_no_process_of_a_run_asks_a_hub(doors: Doors) -> None:
    seen: list[str | None] = []
    doors.then = lambda: seen.append(os.environ.get("HF_HUB_OFFLINE"))
    assert main([*COMMANDS["submit"], "--offline"]) == 1
    assert main(COMMANDS["submit"]) == 1
    assert seen == ["1", None]
