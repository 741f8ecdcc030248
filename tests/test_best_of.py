"""Several seeds of one picture, over one pose and one guess: which is kept, and what is told of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

import lift3d_ray.best_of
from lift3d_ray.best_of import lift_best, optimize_best
from lift3d_ray.errors import ConfigError, OptimizationFailed, PriorError
from lift3d_ray.lifting import SceneTools, fit_prepared, optimize, set_scene
from lift3d_ray.recipes import PoseConfig, Quality, Recipe, make_it_3d
from lift3d_ray.types import Candidate, Float32, NoisePrediction, NoiseQuery, Perception, Progress, UInt8
from tests.scenes import SCHEDULE, PixelCodec, ToyPrior, toy_perception

TOOLS = SceneTools(codec=cast(Any, PixelCodec()), schedule=SCHEDULE, has_view_prior=True)


class Encoder:
    """Tells pictures apart by their colours, and finds all words alike."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        flat = images_BHWC.reshape(len(images_BHWC), -1, 3).mean(1) + 1.0
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        return np.full((len(texts), 3), 3**-0.5, dtype=np.float32)


def quick() -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    return replace(
        draft,
        pose=PoseConfig(elevations_deg=(10.0, 30.0), draws=1, steps=1, noises=1),
        optimize=replace(draft.optimize, steps=4, resolutions=(16,), warmup_steps=1, views=2, reference_rays=128),
        mesh=replace(draft.mesh, resolution=24, faces=800, points=50, turntable_frames=8, turntable_px=32),
    )


@pytest.fixture(scope="module")
def scene() -> tuple[Perception, ToyPrior]:
    toy, perception, _ = toy_perception("house")
    return perception, ToyPrior(toy, 20.0)


def test_the_best_of_one_is_the_plain_lift(scene: tuple[Perception, ToyPrior]) -> None:
    perception, prior = scene
    plain = optimize(perception, prior, quick(), seed=5, tools=TOOLS)
    one = optimize_best(perception, prior, Encoder(), quick(), seeds=[5], tools=TOOLS)
    np.testing.assert_array_equal(one.mesh.vertices_N3, plain.mesh.vertices_N3)
    np.testing.assert_array_equal(one.mesh.colors_N3, plain.mesh.colors_N3)
    np.testing.assert_array_equal(one.turntable_VHWC, plain.turntable_VHWC)
    assert (one.seed, one.metrics, one.pose) == (plain.seed, plain.metrics, plain.pose)


def test_every_seed_is_judged_over_one_pose_and_the_same_call_keeps_the_same(
    scene: tuple[Perception, ToyPrior],
) -> None:
    perception, prior = scene
    stages: list[str] = []

    def report(progress: Progress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)

    first, second = (
        optimize_best(perception, prior, Encoder(), quick(), seeds=[5, 6], tools=TOOLS, report=report) for _ in range(2)
    )
    assert [candidate.seed for candidate in first.candidates] == [5, 6]
    assert first.candidates == second.candidates
    assert len({candidate.score for candidate in first.candidates}) == 2
    (kept,) = (candidate for candidate in first.candidates if candidate.kept)
    assert kept.score == max(candidate.score for candidate in first.candidates)
    assert (first.seed, first.metrics["reference_psnr"]) == (kept.seed, kept.fit_db)
    assert [stage for stage in stages if stage.startswith(("pose", "mesh"))] == ["pose", "mesh 1/2", "mesh 2/2"]
    # The first seed's lift is what it is alone, whatever comes after it.
    plain = optimize(perception, prior, quick(), seed=5, tools=TOOLS)
    assert first.candidates[0].fit_db == plain.metrics["reference_psnr"]


@pytest.fixture
def pose_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[ToyPrior], None]:
    """Lets another prior than the lifts' find the pose, which is found once and by one thread."""

    def patch(prior: ToyPrior) -> None:
        def prepared(perception: Perception, _: object, *given: Any, **said: Any) -> Any:
            return set_scene(perception, prior, *given, **said)

        monkeypatch.setattr(lift3d_ray.best_of, "set_scene", prepared)

    return patch


class TogetherPrior:
    """A toy prior that answers only when two lifts ask at once."""

    def __init__(self, prior: ToyPrior) -> None:
        self._prior, self._both = prior, threading.Barrier(2, timeout=60)

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The toy's answer, once another thread has asked too."""
        self._both.wait()
        return self._prior.predict_noise(query)


def test_seeds_side_by_side_ask_the_prior_at_once_and_give_the_same_asset(
    scene: tuple[Perception, ToyPrior], pose_from: Callable[[ToyPrior], None]
) -> None:
    perception, prior = scene
    told: list[tuple[str, int]] = []
    one_by_one = optimize_best(perception, prior, Encoder(), quick(), seeds=[5, 6], tools=TOOLS)
    pose_from(prior)
    at_once = optimize_best(
        perception,
        TogetherPrior(prior),
        Encoder(),
        quick(),
        seeds=[5, 6],
        tools=TOOLS,
        side_by_side=2,
        report=lambda progress: told.append((progress.stage, progress.step)),
    )
    assert at_once.candidates == one_by_one.candidates
    np.testing.assert_array_equal(at_once.mesh.vertices_N3, one_by_one.mesh.vertices_N3)
    np.testing.assert_array_equal(at_once.mesh.colors_N3, one_by_one.mesh.colors_N3)
    # One lift is told of at a time: the second only once the first has ended.
    numbers = [stage.rpartition(" ")[2] for stage, _ in told if "/" in stage]
    assert numbers == sorted(numbers)
    assert numbers[0] == "1/2"


def test_a_prior_that_fails_ends_all_seeds_side_by_side(
    scene: tuple[Perception, ToyPrior], pose_from: Callable[[ToyPrior], None]
) -> None:
    perception, prior = scene

    class Broken:
        def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
            raise PriorError("the prior is gone")

    pose_from(prior)
    with pytest.raises(PriorError, match="is gone"):
        optimize_best(perception, Broken(), Encoder(), quick(), seeds=[5, 6, 7], tools=TOOLS, side_by_side=2)
    with pytest.raises(ConfigError, match="one lift at once"):
        optimize_best(perception, prior, Encoder(), quick(), seeds=[5], tools=TOOLS, side_by_side=0)


def test_the_kept_asset_is_the_judged_one(scene: tuple[Perception, ToyPrior], monkeypatch: pytest.MonkeyPatch) -> None:
    perception, prior = scene
    scores = {5: 1.0, 6: 3.0, 7: 2.0}
    monkeypatch.setattr(
        lift3d_ray.best_of, "judged", lambda asset, encoder: Candidate(seed=asset.seed, score=scores[asset.seed])
    )
    asset = optimize_best(perception, prior, Encoder(), quick(), seeds=[5, 6, 7], tools=TOOLS)
    assert asset.seed == 6
    assert [(candidate.seed, candidate.kept) for candidate in asset.candidates] == [(5, False), (6, True), (7, False)]


def test_a_seed_that_fails_is_told_and_the_others_go_on(
    scene: tuple[Perception, ToyPrior], monkeypatch: pytest.MonkeyPatch
) -> None:
    perception, prior = scene
    calls: list[int] = []

    def fail_first(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 1 or len(calls) > 2:
            raise OptimizationFailed(f"it diverged, call {len(calls)}")
        return fit_prepared(*arguments, **settings)

    monkeypatch.setattr(lift3d_ray.best_of, "fit_prepared", fail_first)
    asset = optimize_best(perception, prior, Encoder(), quick(), seeds=[5, 6], tools=TOOLS)
    assert [(c.seed, c.error, c.kept) for c in asset.candidates] == [(5, "it diverged, call 1", False), (6, "", True)]
    with pytest.raises(OptimizationFailed, match="call 3"):
        optimize_best(perception, prior, Encoder(), quick(), seeds=[5, 6], tools=TOOLS)
    with pytest.raises(ConfigError, match="at least one seed"):
        optimize_best(perception, prior, Encoder(), quick(), seeds=[], tools=TOOLS)


def test_one_seed_of_a_photo_is_a_plain_lift_and_several_look_at_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(lift3d_ray.best_of, "lift", lambda *given, **settings: asked.append(settings["seed"]))
    monkeypatch.setattr(lift3d_ray.best_of, "perceive", lambda *given, **settings: asked.append(settings["prompt"]))
    monkeypatch.setattr(
        lift3d_ray.best_of, "optimize_best", lambda *given, **settings: asked.append(list(settings["seeds"]))
    )
    given: Any = ("photo", type("Models", (), {"prior": 0, "clip": 0}), "recipe")
    lift_best(*given, seeds=[3], tools=TOOLS, prompt="a cup")
    lift_best(*given, seeds=[3, 4], tools=TOOLS, prompt="a cup")
    assert asked == [3, "a cup", [3, 4]]
