from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lift3d_ray.cli.edit import warn_if_unheard
from lift3d_ray.cli.main import main
from lift3d_ray.export.write import GLB, RESULT, SUBJECT
from tests.edit.folders import asset_folder, triangles
from tests.export.glb_check import check_textured, parse

SMALL = [
    "refine.size_px=32",
    "refine.point_px=48",
    "refine.viewpoints=4",
    "refine.texture_px=128",
    "mesh.turntable_frames=2",
    "mesh.turntable_px=32",
    "mesh.points=100",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return asset_folder(tmp_path / "ball")


def edit(folder: Path, out: Path, *arguments: str) -> int:
    return main(["edit", str(folder), "--out", str(out), *arguments])


def settings(*more: str) -> list[str]:
    return [word for setting in [*SMALL, *more] for word in ("--set", setting)]


def test_either_words_or_a_picture_and_neither_into_the_asset_itself(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--prompt", "a cup", "--picture", str(folder / SUBJECT)]
    for arguments, out, said in (
        ([], tmp_path / "out", "got neither: say one of them"),
        (both, tmp_path / "out", "got both: say one of them"),
        (["--prompt", " "], tmp_path / "out", "--prompt is empty"),
        (["--prompt", "a cup"], folder, "--out names the asset itself"),
    ):
        assert edit(folder, out, *arguments) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_edited_or_read_fails_in_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (90, 40)).save(tmp_path / "wide.png")
    for asset, arguments, said in (
        (tmp_path, ["--prompt", "a cup"], "assets inside it: ball"),
        (folder, ["--picture", str(tmp_path / "text.png")], "text.png"),
        (folder, ["--picture", str(tmp_path / "nowhere.png")], "cannot be opened"),
        (folder, ["--picture", str(tmp_path / "wide.png")], "has 90 x 40 pixels: wanted a square picture"),
    ):
        assert edit(asset, tmp_path / "out", *arguments) == 1
        assert said in capsys.readouterr().err
    (folder / SUBJECT).unlink()
    assert edit(folder, tmp_path / "out", "--prompt", "a cup") == 1
    assert "earlier version of lift3d-ray" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_words_that_did_nothing_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for metrics in ({"words": 0.6, "words_before": 0.3}, {"reference_psnr": 25.0}):
        warn_if_unheard(metrics)
        assert capsys.readouterr().err == ""
    warn_if_unheard({"words": 0.52, "words_before": 0.53})
    assert "no better with the words than before (0.52, was 0.53)" in capsys.readouterr().err


def test_edits_with_the_embedded_models_by_words_and_by_a_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = ["--quality", "draft", "--seed", "5"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert edit(folder, first, "--prompt", "a red ball", *draft, *settings("refine.steps=3")) == 0
    assert capsys.readouterr().out.startswith(f"a red ball: {first / GLB} (")
    told = json.loads((first / RESULT).read_text())
    assert (told["seed"], told["caption"], told["photo"]["name"]) == (5, "a red ball", "ball.png")
    assert (told["edit"]["asset"], told["edit"]["prompt"]) == ("ball", "a red ball")
    assert told["edit"]["glb_sha256"] == json.loads((folder / RESULT).read_text())["files"][GLB]["sha256"]
    assert {"words", "words_before"} <= set(told["metrics"])

    pixels = np.array(Image.open(first / SUBJECT))
    pixels[..., :3] = 255 - pixels[..., :3]
    Image.fromarray(pixels).save(tmp_path / "edited.png")
    picture = ["--picture", str(tmp_path / "edited.png"), "--quiet"]
    assert edit(first, second, *picture, *draft, *settings("refine.steps=1")) == 0
    assert capsys.readouterr().out == ""
    told = json.loads((second / RESULT).read_text())
    assert (told["edit"]["asset"], told["edit"]["picture_name"]) == ("first", "edited.png")
    assert (told["edit"]["prompt"], told["edit"]["picture_framing"]) == (None, "crop")
    assert len(told["edit"]["picture_digest"]) == 64

    before = parse((folder / GLB).read_bytes())
    wanted = triangles(before.attribute("POSITION"), before.indices.reshape(-1, 3))
    for out in (first, second):
        glb = check_textured((out / GLB).read_bytes())
        assert np.array_equal(triangles(glb.attribute("POSITION"), glb.indices.reshape(-1, 3)), wanted)
