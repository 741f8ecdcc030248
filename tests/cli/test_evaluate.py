from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import lift3d_ray.evaluate as judge
import lift3d_ray.lifting
import lift3d_ray.models.bundle
from lift3d_ray.cli.main import main

MESH = judge.Score(psnr=18.5, ssim=0.7, iou=0.81, chamfer=0.04)
COPY = judge.Score(psnr=14.0, ssim=0.6, iou=0.64, chamfer=float("nan"))


@pytest.fixture(autouse=True)
def exams(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """One exam that is judged without being lifted; what the command asked for."""
    asked: dict[str, Any] = {}

    def lift(photo: Any, models: Any, recipe: Any, **settings: Any) -> Any:
        asked.update(photo=photo, recipe=recipe, **settings)
        return SimpleNamespace(perception=SimpleNamespace(caption="a red mug"))

    def run_exams(count: int, lifted: Callable[[Any], Any], *, told: Callable[..., None]) -> Any:
        exam = SimpleNamespace(photo=SimpleNamespace(name="mug-0"))
        asked["count"] = count
        told(exam, lifted(exam), MESH)
        return MESH, COPY

    monkeypatch.setattr(judge, "run_exams", run_exams)
    monkeypatch.setattr(lift3d_ray.lifting, "lift", lift)
    monkeypatch.setattr(lift3d_ray.lifting, "load_tools", lambda bundle, device: "tools")
    monkeypatch.setattr(lift3d_ray.models.bundle, "load_bundle", lambda name: "bundle")
    monkeypatch.setattr(lift3d_ray.models.bundle, "load_models", lambda bundle, device: "models")
    return asked


def test_prints_the_means_below_each_other(exams: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--count", "1", "--quality", "draft", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    head, mesh, copy = (line.split() for line in captured.out.splitlines())
    assert head == ["psnr", "ssim", "iou", "chamfer"]
    assert mesh[-4:] == ["18.500", "0.700", "0.810", "0.040"]
    assert copy[-4:] == ["14.000", "0.600", "0.640", "nan"]
    assert "mug-0 (a red mug)" in captured.err
    assert (exams["count"], exams["seed"], exams["recipe"].quality) == (1, 3, "draft")


def test_json_is_valid_where_a_figure_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--count", "1", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out, parse_constant=pytest.fail)
    assert told["mean"]["psnr"] == told["mug-0"]["psnr"] == 18.5
    assert told["copy"]["chamfer"] is None
    assert captured.err == ""
