"""The coarse stage against a prior that knows the toy: the field must become the toy, repeatably."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError, OptimizationFailed
from lift3d_ray.field.render import render_view
from lift3d_ray.guidance.clip_d import likeness
from lift3d_ray.optimize import Fitted, Scene, fit, prepare_scene
from lift3d_ray.optimize.rendering import jittered
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import FitState, initial_state, restored
from lift3d_ray.recipes import (
    Conditioning,
    GuidanceTerm,
    LossWeights,
    Quality,
    Recipe,
    ShadingConfig,
    make_it_3d,
)
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
        self._prior = prior
        self.batches: list[int] = []
        self.told: list[tuple[str, str]] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        self.batches.append(len(query.noisy_latents_BCHW))
        self.told.extend(zip(query.prompts, query.negative_prompts, strict=True))
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


class _Colours:
    """An encoder that sees the mean colour of each quarter of a picture."""

    def embed_images(self, images_B3HW: torch.Tensor) -> torch.Tensor:
        quarters = torch.nn.functional.adaptive_avg_pool2d(images_B3HW, 2).flatten(1)
        return torch.nn.functional.normalize(quarters - 0.4, dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.ones(len(texts), 12), dim=-1)


def _with_likeness(scene: Scene) -> Scene:
    return replace(scene, likeness=likeness(_Colours(), torch.full((3, SIZE, SIZE), 0.9), scene.caption))


def _moved(scene: Scene, prior: object, plain: Recipe, changed: Recipe) -> tuple[float, float]:
    """How far one step's densities and colours end from where the plain recipe takes them."""
    one, two = (_fit(scene, recipe, prior).field.values_V4.detach() for recipe in (plain, changed))
    moved = (one - two).abs()
    return float(moved[:, 0].max()), float(moved[:, 1:].max())


@pytest.mark.parametrize("name", ["clip_denoised", "clip_image", "clip_text"])
def test_clip_pulls_density_and_colour(scene: tuple[ToyObject, Scene], name: str) -> None:
    toy, prepared = scene
    plain = _recipe(1)
    # One step with novel views, at timesteps that are CLIP's.
    plain = replace(plain, optimize=replace(plain.optimize, warmup_steps=0, timestep_start=(0.2, 0.3)))
    asking = replace(plain, losses=replace(plain.losses, **{name: 5.0}))
    known, prior = _with_likeness(prepared), ToyPrior(toy, AZIMUTH)
    assert min(_moved(known, prior, plain, asking)) > 0
    assert name in _fit(known, asking, prior).losses


def test_clip_judges_small_timesteps_in_the_place_of_distillation(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    known, prior = _with_likeness(prepared), ToyPrior(toy, AZIMUTH)
    # The first step, whose views are all near the photo: backs are distilled at any timestep.
    recipe = _recipe(1)
    recipe = replace(
        recipe,
        optimize=replace(recipe.optimize, warmup_steps=0, azimuth_start_deg=30.0),
        losses=replace(recipe.losses, clip_denoised=1.0),
    )
    small = replace(recipe.optimize, timestep_start=(0.2, 0.3), timestep_end=(0.2, 0.3))
    large = replace(recipe.optimize, timestep_start=(0.6, 0.7), timestep_end=(0.6, 0.7))
    by_clip = _fit(known, replace(recipe, optimize=small), prior).losses
    distilled = _fit(known, replace(recipe, optimize=large), prior).losses
    assert "clip_denoised" in by_clip
    assert "sds_image" not in by_clip
    assert "sds_image" in distilled
    assert "clip_denoised" not in distilled


def test_surface_losses_make_the_surface_smoother(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    plain, prior = _recipe(16), ToyPrior(toy, AZIMUTH)
    tiny, strong = (
        _fit(prepared, replace(plain, losses=replace(plain.losses, orientation=w, smooth_normals=w)), prior).losses
        for w in (1e-6, 1.0)
    )
    assert strong["orientation"] < tiny["orientation"] * 1e6
    assert strong["smooth_normals"] < 0.9 * tiny["smooth_normals"] * 1e6


def test_light_starts_after_its_share_of_the_steps(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    prior, plain = ToyPrior(toy, AZIMUTH), _recipe(4)

    def lit_after(share: float) -> Recipe:
        shading = ShadingConfig(after=share, albedo=0.0, lambertian=1.0, textureless=0.0)
        return replace(plain, optimize=replace(plain.optimize, warmup_steps=0, shading=shading))

    never = _fit(prepared, lit_after(1.0), prior).field.values_V4
    unlit = replace(plain, optimize=replace(plain.optimize, warmup_steps=0))
    torch.testing.assert_close(never, _fit(prepared, unlit, prior).field.values_V4, rtol=0, atol=0)
    assert min(_moved(prepared, prior, lit_after(1.0), lit_after(0.5))) > 0
    assert min(_moved(prepared, prior, lit_after(0.5), lit_after(0.0))) > 0


def test_the_photo_s_camera_trembles_only_when_told(scene: tuple[ToyObject, Scene]) -> None:
    origins, directions = torch.zeros(4, 3), torch.ones(4, 3)
    generator = torch.Generator().manual_seed(0)
    assert jittered(origins, directions, 0.0, generator) == (origins, directions)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
    moved, turned = jittered(origins, directions, 0.01, generator)
    assert 0 < float(moved.abs().max()) < 0.05
    assert 0 < float((turned - directions).abs().max()) < 0.05
    assert bool((moved == moved[0]).all())
    recipe = replace(_recipe(2), guidance=())
    shaken = replace(recipe, optimize=replace(recipe.optimize, reference_jitter=0.002))
    assert min(_moved(scene[1], None, recipe, shaken)) > 0


def test_backs_are_told_what_not_to_show(scene: tuple[ToyObject, Scene]) -> None:
    toy, prepared = scene
    prior = _CountingPrior(ToyPrior(toy, AZIMUTH))
    recipe = _recipe(4)
    recipe = replace(
        recipe, optimize=replace(recipe.optimize, warmup_steps=0, azimuth_start_deg=180.0, back_negative="face")
    )
    _fit(prepared, recipe, prior)
    told = {prompt.rsplit(", ", 1)[1]: negative for prompt, negative in prior.told}
    assert told.pop("back view") == "face"
    assert set(told.values()) == {""}


class _NotingPrior:
    """Has no opinion, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[NoiseQuery] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        self.asked.append(query)
        return NoisePrediction(noise_BCHW=np.zeros_like(query.noisy_latents_BCHW))


def test_only_the_text_prior_is_asked_for_blends_and_only_when_told(scene: tuple[ToyObject, Scene]) -> None:
    both = (
        GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0),
        GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0),
    )
    plain = replace(_recipe(1), guidance=both, optimize=replace(_recipe(1).optimize, warmup_steps=0))
    told = replace(plain, optimize=replace(plain.optimize, blend_prompts=True))
    switching, blending = _NotingPrior(), _NotingPrior()
    _fit(scene[1], plain, switching)
    _fit(scene[1], told, blending)
    assert [query.blend is None for query in switching.asked] == [True, True]
    assert [query.blend is None for query in blending.asked] == [False, True]


def test_recipes_ask_clip_by_their_weights() -> None:
    assert not LossWeights().ask_clip
    assert LossWeights(clip_text=0.1).ask_clip


def test_chances_of_finishes_sum_to_one() -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        ShadingConfig(albedo=0.9)
