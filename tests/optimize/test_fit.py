"""The coarse stage against a prior that knows the toy: the field must become the toy, repeatably."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.field.render import render_view
from lift3d_ray.optimize import Fitted, Scene, fit, prepare_scene
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import FitState, initial_state, restored
from lift3d_ray.recipes import Quality, Recipe, make_it_3d
from lift3d_ray.toybox import ToyObject, render
from lift3d_ray.types import NoisePrediction, NoiseQuery, Progress, ReferencePose
from tests.scenes import SCHEDULE, SIZE, PixelCodec, ToyPrior, toy_perception

AZIMUTH, ELEVATION = 20.0, 20.0


def _recipe(steps: int = 60) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    return replace(
        draft,
        optimize=replace(draft.optimize, steps=steps, resolutions=(24, 32), view_px=SIZE, warmup_steps=3),
    )


@pytest.fixture(scope="module")
def scene() -> tuple[ToyObject, Scene]:
    toy, perception, framing = toy_perception("house", azimuth_deg=AZIMUTH, elevation_deg=ELEVATION)
    pose = ReferencePose(elevation_deg=ELEVATION, framing=framing)
    reference = view_reference(perception.subject, PixelCodec(), None)  # type: ignore[arg-type]
    return toy, prepare_scene(perception, pose, reference)


def _fit(scene: Scene, recipe: Recipe, prior: object, state: FitState | None = None, seed: int = 0) -> Fitted:
    start = state or initial_state(scene, recipe.optimize, generator=torch.Generator().manual_seed(seed))
    return fit(scene, start, recipe, prior, PixelCodec(), SCHEDULE, report=lambda progress: None)  # type: ignore[arg-type]


def _novel_error(toy: ToyObject, fitted: Fitted) -> float:
    turns = np.array([90.0, 180.0, 270.0])
    truth = render(toy, orbit_c2w(AZIMUTH + turns, 20.0), size=SIZE).rgb
    pictures = [
        render_view(fitted.field, c2w, SIZE, sharpness=fitted.sharpness, n_samples=48, background=torch.ones(3))
        for c2w in orbit_c2w(turns, 20.0)
    ]
    return float(np.mean([np.abs(p.rgb_HW3.numpy() - t).mean() for p, t in zip(pictures, truth, strict=True)]))


def test_a_knowing_prior_makes_the_back_true(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    guided = _novel_error(toy, _fit(prepared, _recipe(), ToyPrior(toy, AZIMUTH)))
    alone = _novel_error(toy, _fit(prepared, replace(_recipe(), guidance=()), None))
    assert guided < 0.6 * alone


def test_the_same_seed_gives_the_same_field(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    one, two, other = (_fit(prepared, _recipe(8), ToyPrior(toy, AZIMUTH), seed=s) for s in (1, 1, 2))
    assert torch.equal(one.field.values_V4, two.field.values_V4)
    assert not torch.equal(one.field.values_V4, other.field.values_V4)


def test_a_fit_goes_on_from_its_stored_state(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe, prior = _recipe(12), ToyPrior(toy, AZIMUTH)
    whole = _fit(prepared, recipe, prior)
    stored: list[dict[str, object]] = []

    def keep(state: FitState) -> None:
        if state.step == 5:
            stored.append({k: _copied(v) for k, v in state.state_dict().items()})

    start = initial_state(prepared, recipe.optimize, generator=torch.Generator().manual_seed(0))
    fit(
        prepared,
        start,
        recipe,
        prior,
        PixelCodec(),  # type: ignore[arg-type]
        SCHEDULE,
        report=lambda progress: None,
        checkpoint=keep,
    )
    again = _fit(prepared, recipe, prior, state=restored(stored[0], recipe.optimize))
    torch.testing.assert_close(again.field.values_V4, whole.field.values_V4)


def _copied(value: object) -> object:
    import copy

    return copy.deepcopy(value)


def test_progress_counts_every_step(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe = _recipe(6)
    seen: list[Progress] = []
    start = initial_state(prepared, recipe.optimize, generator=torch.Generator().manual_seed(0))
    fit(prepared, start, recipe, ToyPrior(toy, AZIMUTH), PixelCodec(), SCHEDULE, report=seen.append)  # type: ignore[arg-type]
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].prior_batch == recipe.optimize.views


def test_views_drawn_once_and_fitted_make_the_back_true(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe = _recipe()
    drawn = replace(recipe, optimize=replace(recipe.optimize, drawn_views=8, drawing_steps=4))
    counted = _CountingPrior(ToyPrior(toy, AZIMUTH))
    guided = _novel_error(toy, _fit(prepared, drawn, counted))
    alone = _novel_error(toy, _fit(prepared, replace(recipe, guidance=()), None))
    assert guided < 0.6 * alone
    assert counted.batches == [8] * 4  # asked while drawing, never while fitting


def test_drawn_views_survive_a_stop(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    recipe = replace(_recipe(8), optimize=replace(_recipe(8).optimize, drawn_views=4, drawing_steps=2))
    saved: list[dict[str, object]] = []
    start = initial_state(prepared, recipe.optimize, generator=torch.Generator().manual_seed(0))
    prior = _CountingPrior(ToyPrior(toy, AZIMUTH))

    def keep(state: FitState) -> None:
        if state.step == 5:
            saved.append(copy.deepcopy(state.state_dict()))

    whole = fit(prepared, start, recipe, prior, PixelCodec(), SCHEDULE, report=lambda _: None, checkpoint=keep)  # type: ignore[arg-type]
    again = _fit(prepared, recipe, None, state=restored(saved[0], recipe.optimize))
    torch.testing.assert_close(again.field.values_V4, whole.field.values_V4)


def test_without_a_prior_novel_views_are_still_regularised(scene: tuple[ToyObject, Scene]) -> None:
    _, prepared = scene
    fitted = _fit(prepared, replace(_recipe(6), guidance=()), None)
    assert "entropy" in fitted.losses
    assert not {"sds_image", "drawn_image"} & set(fitted.losses)


class _CountingPrior:
    def __init__(self, prior: ToyPrior) -> None:
        self._prior, self.batches = prior, []  # type: ignore[var-annotated]

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        self.batches.append(len(query.noisy_latents_BCHW))
        return self._prior.predict_noise(query)


class BreakingPrior:
    """Finite noise so large that the estimate is bounded, but the field is driven away; then NaN in the field."""

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """Zeros."""
        return NoisePrediction(noise_BCHW=np.zeros_like(query.noisy_latents_BCHW))


def test_a_field_that_is_not_finite_fails_in_words(scene: tuple[ToyObject, Scene]) -> None:
    _, prepared = scene
    recipe = _recipe(4)
    start = initial_state(prepared, recipe.optimize, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        start.field.values_V4.fill_(float("nan"))
    with pytest.raises(OptimizationFailed, match="not finite at step 0"):
        _fit(prepared, recipe, BreakingPrior(), state=start)


def test_densities_move_at_their_own_rate(scene: tuple[ToyObject, Scene]) -> None:
    _, prepared = scene
    moved = {}
    for rate in (1.0, 0.25, 0.0):
        recipe = _recipe(1)
        recipe = replace(recipe, guidance=(), optimize=replace(recipe.optimize, density_rate=rate))
        start = initial_state(prepared, recipe.optimize, generator=torch.Generator().manual_seed(0))
        before = start.field.values_V4.detach().clone()
        after = _fit(prepared, recipe, None, start).field.values_V4.detach()
        moved[rate] = (after - before).abs().amax(0)
    torch.testing.assert_close(moved[0.25][0], 0.25 * moved[1.0][0], rtol=1e-3, atol=1e-6)
    assert moved[1.0][0] > 0
    assert moved[0.0][0] == 0
    torch.testing.assert_close(moved[0.25][1:], moved[1.0][1:])
