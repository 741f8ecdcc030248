from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lift3d_ray.evaluate as judging
from lift3d_ray.cli.evaluate import GuidanceName
from lift3d_ray.cli.main import main
from lift3d_ray.evaluate import GUIDANCES, Question, Score, Verdict

MESH = Score(psnr=18.5, ssim=0.7, iou=0.81, chamfer=0.04, lpips=0.02, clip=0.9, front=30.0, front_lpips=0.004)
FIELD = Score(psnr=19.5, ssim=0.75, iou=0.83)
COPY = Score(psnr=14.0, ssim=0.6, iou=0.64)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Exams that are judged without being lifted; what the command asked for."""
    asked: dict[str, Any] = {}

    def judge_all(questions: Sequence[Question], bundle: str, recipe: Any, **settings: Any) -> Iterator[Verdict]:
        asked.update(questions=list(questions), bundle=bundle, recipe=recipe, **settings)
        for question in questions:
            yield Verdict(
                question=question,
                name=f"mug-{question.exam}",
                caption="a red mug",
                field=FIELD,
                mesh=MESH,
                copy=COPY,
                seconds=1.5,
                strip_HWC=np.zeros((128, 640, 3), dtype=np.uint8),
                failed=question.guidance == "none",
            )

    monkeypatch.setattr(judging, "judge_all", judge_all)
    return asked


def test_prints_the_means_below_each_other(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--count", "1", "--quality", "draft", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    head, mesh, field, won, seconds, copy = (line.split() for line in captured.out.splitlines())
    assert head == ["psnr", "ssim", "iou", "chamfer", "lpips", "clip", "front", "front_lpips"]
    assert mesh[-8:] == ["18.500", "0.700", "0.810", "0.040", "0.020", "0.900", "30.000", "0.004"]
    assert field[-8:] == ["19.500", "0.750", "0.830", *5 * ["nan"]]
    assert copy[-8:] == ["14.000", "0.600", "0.640", *5 * ["nan"]]
    assert " ".join(won) == "recipe: 1 of 1 meshes have a higher psnr than the photo, copied"
    assert " ".join(seconds) == "recipe: 1.5 s a lift"
    assert "mug-0 (a red mug)" in captured.err
    assert asked["questions"] == [Question(exam=0, guidance="recipe", seed=3)]
    assert (asked["recipe"].quality, asked["jobs"], asked["device"]) == ("draft", 1, "cpu")


def test_every_way_every_toy_and_every_seed_is_asked(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ways = ["--guidance", "none", "--guidance", "drawn", "--scale", "1.5"]
    assert main(["evaluate", "--count", "2", "--seeds", "2", "--quiet", *ways]) == 0
    assert {q.scale for q in asked["questions"]} == {1.5}
    assert [(q.guidance, q.exam, q.seed) for q in asked["questions"]] == [
        (way, exam, seed) for way in ("none", "drawn") for exam in (0, 1) for seed in (0, 1)
    ]
    captured = capsys.readouterr()
    assert "none: 4 lifts, 4 failed, mesh" in captured.out
    assert captured.err == ""


def test_json_is_valid_where_a_figure_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--count", "1", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    (told,) = json.loads(captured.out, parse_constant=pytest.fail)
    assert told["mesh"]["psnr"] == 18.5
    assert told["copy"]["chamfer"] is None
    assert (told["exam"], told["name"], told["seconds"]) == (0, "mug-0", 1.5)


def test_models_of_files_are_judged_instead_of_toys(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bob.glb", "bread.obj"):
        (tmp_path / name).write_bytes(b"")
    assert main(["evaluate", "--meshes", str(tmp_path), "--json", "--quiet"]) == 0
    assert [q.exam for q in asked["questions"]] == [tmp_path / "bob.glb", tmp_path / "bread.obj"]
    assert [told["exam"] for told in json.loads(capsys.readouterr().out)] == ["bob.glb", "bread.obj"]
    assert main(["evaluate", "--meshes", str(tmp_path / "nothing")]) == 2
    assert "no mesh file" in capsys.readouterr().err


def test_the_sheet_holds_a_strip_a_lift(tmp_path: Path) -> None:
    assert main(["evaluate", "--count", "3", "--quiet", "--sheet", str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size == (640, 3 * 128)


def test_the_command_names_every_way_there_is() -> None:
    assert {name.value for name in GuidanceName} == set(GUIDANCES)
