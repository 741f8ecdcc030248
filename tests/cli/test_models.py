from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import lift3d_ray.models.bundle as bundles
from lift3d_ray.cli.main import main
from tests.models.small_catalog import small_catalog


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of bundles with one on it, whose roles are empty folders but for the segmenter."""
    folder = tmp_path / "small"
    for role in bundles.REQUIRED_ROLES:
        (folder / role).mkdir(parents=True)
    (folder / "segmenter" / "weights.safetensors").write_bytes(b"\0" * 2_500_000)
    facts = {
        "name": "small",
        "image_size": 64,
        "latent_pack": 2,
        "roles": {role: role for role in bundles.REQUIRED_ROLES},
    }
    (folder / "bundle.json").write_text(json.dumps(facts))
    (folder / "README.md").write_text("# small\nFor tests.\n")
    monkeypatch.setattr(bundles, "BUNDLES_FOLDER", tmp_path)
    return folder


def test_lists_bundles_with_sizes(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small  2.5 MB  digest ")
    assert str(shelf) in out
    assert "segmenter        2.50 MB" in out


def test_prints_the_card(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "card", str(shelf)]) == 0
    assert capsys.readouterr().out == "# small\nFor tests.\n"


def test_a_bundle_without_card_says_so(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "README.md").unlink()
    assert main(["models", "card", "small"]) == 1
    assert "the bundle has no model card" in capsys.readouterr().err


def test_an_unknown_bundle_is_named(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "card", "large"]) == 1
    assert "'large' is neither an embedded bundle (small) nor a folder" in capsys.readouterr().err


def test_published_models_are_pulled_listed_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(tmp_path / "weights")
    with small_catalog(tmp_path / "data", monkeypatch):
        assert main(["models", "list", "--weights", weights]) == 0
        before = capsys.readouterr().out
        assert "small        0 of 2 models pulled" in before
        assert main(["models", "pull", "small", "--to", weights]) == 0
        said = capsys.readouterr().out
        assert f"2 models are whole in {weights}" in said
        assert f"small: {weights}/bundles/small" in said
        assert main(["models", "list", "--weights", weights]) == 0
        after = capsys.readouterr().out
        assert "small        2 of 2 models pulled" in after
        assert "  other-sam                  -        " in after
        assert "  small-sam                  pulled   " in after
        assert "MIT  segmenter" in after


def test_a_pull_that_cannot_reach_anything_says_what_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_catalog(tmp_path / "data", monkeypatch) as shelf:
        assert main(["models", "pull", "small-sam", "--to", str(tmp_path), "--offline"]) == 2
        assert shelf.asked == []
        assert f"-> {tmp_path}/models/small-sam/sam_small.pth" in capsys.readouterr().err


def test_a_bundle_is_checked_a_line_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", "--no-forward", "--offline"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert any(line.startswith("segmenter ") and line.endswith("6.3 MB, 310 tensors, float16") for line in out)
    assert out[-1] == "toybox: as it should be"


def test_a_fault_is_a_failure(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(shelf), "--no-forward"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert any("FAULT" in line and str(shelf / "segmenter" / "weights.safetensors") in line for line in out)
    assert out[-1].startswith("small: ")
    assert out[-1].endswith(" faults")


def test_a_plan_says_what_fits_where(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["models", "plan", "toybox", "--set", "optimize.views=2", "--dtype", "float32"]
    assert main([*settings, "--gpus", "8,4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("toybox, make-it-3d standard, shared models in float32\n")
    assert "  unet           toybox " in out
    assert re.search(r"GPU 0, 7\.60 GiB usable: perception 0\.\d\d, prior 0\.\d\d, \d+ optimizers; 0\.\d\d free", out)
    assert main([*settings, "--gpus", "1"]) == 1
    said = capsys.readouterr()
    assert "optimizer: 0." in said.out
    assert said.out.endswith("attention in slices: would not fit either\n")
    assert "GiB wanted, 0.95 = 0.95 GiB usable" in said.err
