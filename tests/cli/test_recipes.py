from __future__ import annotations

import json

import pytest

from lift3d_ray.cli.main import main
from lift3d_ray.recipes import RECIPES, Quality, by_name


def test_lists_every_recipe_with_its_digests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    for name in RECIPES:
        assert all(by_name(name, quality).digest in out for quality in Quality)


def test_shows_one_recipe_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "make-it-3d", "--quality", "draft"]) == 0
    lines = capsys.readouterr().out.splitlines()
    recipe = by_name("make-it-3d", "draft")
    assert f"optimize.steps = {recipe.optimize.steps}" in lines
    assert f"guidance[0].conditioning = {recipe.guidance[0].conditioning}" in lines
    assert lines[-1] == f"digest = {recipe.digest}"


def test_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "anything-3d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "anything-3d"


def test_unknown_recipe_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "nothing-3d"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "lift3d-ray: unknown recipe 'nothing-3d': choose one of anything-3d, make-it-3d\n"


def test_quality_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LIFT3D_RECIPES_QUALITY", "fine")
    assert main(["recipes", "make-it-3d"]) == 0
    assert "quality = fine" in capsys.readouterr().out
    assert main(["recipes", "make-it-3d", "--quality", "draft"]) == 0
    assert "quality = draft" in capsys.readouterr().out
