"""The judge lifts with what the embedded bundle says, and a lift that fails is judged too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lift3d_ray.evaluate.judging as judging
from lift3d_ray.errors import NoSubject
from lift3d_ray.evaluate import GUIDANCES, Judge, Question, judge_all
from lift3d_ray.recipes import Quality, Recipe, make_it_3d


def _brief() -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    return replace(
        draft,
        pose=replace(draft.pose, draws=1, steps=2, noises=1),
        optimize=replace(draft.optimize, steps=12, resolutions=(24,), view_px=32, warmup_steps=2),
        mesh=replace(draft.mesh, resolution=32, turntable_frames=2, turntable_px=32, points=100),
    )


def test_a_lift_is_judged_as_field_and_as_mesh() -> None:
    (verdict,) = judge_all([Question(exam=0)], "toybox", _brief())
    assert not verdict.failed
    assert verdict.field.psnr > 5
    assert verdict.mesh.iou > 0.1
    assert np.isfinite(verdict.mesh.chamfer)
    assert verdict.strip_HWC.shape == (128, 640, 3)
    assert verdict.strip_HWC[64:].min() < 200  # the mesh is in the picture


def test_a_lift_without_a_subject_is_worth_an_empty_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise NoSubject("nothing stands out")

    monkeypatch.setattr(judging, "perceive", nobody)
    verdict = Judge("toybox", _brief())(Question(exam=1))
    assert verdict.failed
    assert verdict.caption == "nothing stands out"
    assert verdict.mesh.iou == verdict.field.iou == 0.0


def test_ways_are_compared_at_one_scale() -> None:
    recipe = make_it_3d(Quality.DRAFT)
    for way in ("recipe", "text", "view", "mix", "drawn"):
        own = Question(exam=0, guidance=way).recipe(recipe).guidance
        terms = Question(exam=0, guidance=way, scale=2.5).recipe(recipe).guidance
        assert len(terms) > 0
        assert terms == tuple(replace(term, scale=2.5) for term in own)
    assert Question(exam=0, guidance="none", scale=2.5).recipe(recipe).guidance == ()


def test_every_way_of_guidance_makes_a_recipe_of_its_own() -> None:
    recipe = make_it_3d()
    assert GUIDANCES["recipe"](recipe) == recipe
    assert GUIDANCES["none"](recipe).guidance == ()
    digests = {name: change(recipe).digest for name, change in GUIDANCES.items() if name not in ("recipe", "view")}
    assert len(set(digests.values())) == len(digests)


def test_the_best_of_two_seeds_is_one_of_the_two() -> None:
    judge = Judge("toybox", _brief())
    kept = judge(Question(exam=1, best_of=2)).mesh.psnr
    alone = [judge(Question(exam=1, seed=seed)).mesh.psnr for seed in (0, 1)]
    assert alone[0] != alone[1]
    assert kept in alone
