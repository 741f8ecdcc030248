"""Things made from words alone: no photo is asked for, every view is distilled, and the asset is like any other."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import wrap_deg
from lift3d_ray.errors import ConfigError
from lift3d_ray.export.preview import contact_sheet
from lift3d_ray.export.write import DEPTH, GLB, MASK, RESULT, write_asset
from lift3d_ray.field.blob import BLOB_RADIUS, blob_field
from lift3d_ray.lifting import SceneTools, fit_scene, optimize
from lift3d_ray.mesh.photo_view import PhotoView, photo_weights
from lift3d_ray.recipes import (
    Conditioning,
    DepthHint,
    InversionConfig,
    Quality,
    Recipe,
    RefineConfig,
    anything_3d,
    make_it_3d,
)
from lift3d_ray.types import NoisePrediction, NoiseQuery
from lift3d_ray.words_alone import TEXT_SCALE, words_perception, words_recipe
from tests.export.assets import PROVENANCE
from tests.export.glb_check import check
from tests.scenes import SCHEDULE, SIZE, PixelCodec, toy_perception

TOOLS = SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=True)  # type: ignore[arg-type]


class RedBallPrior:
    """Whatever it is asked, in words alone, it sees a red disc before white."""

    def __init__(self) -> None:
        self.asked: list[NoiseQuery] = []
        axis = np.abs(np.arange(SIZE) + 0.5 - SIZE / 2)
        disc = np.hypot(axis[:, None], axis) < 0.25 * SIZE
        self._picture = np.where(disc, np.array([0.8, -0.8, -0.8])[:, None, None], 1.0)

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from the disc to the query."""
        assert query.view is None
        self.asked.append(query)
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * self._picture) / sigma
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32), batch_size=len(noise))


def _recipe(steps: int = 24) -> Recipe:
    recipe = words_recipe(make_it_3d(Quality.DRAFT))
    return replace(
        recipe,
        optimize=replace(recipe.optimize, steps=steps, resolutions=(20,), learning_rate=0.2),
        mesh=replace(recipe.mesh, resolution=24, faces=500, points=100, turntable_frames=2, turntable_px=16),
    )


@pytest.mark.parametrize("plain", [make_it_3d(Quality.DRAFT), anything_3d(Quality.STANDARD)])
def test_the_photo_s_part_of_a_recipe_becomes_words(plain: Recipe) -> None:
    recipe = words_recipe(plain)
    assert [term.weight for term in recipe.guidance] == [term.weight for term in plain.guidance]
    assert all(term.conditioning is not Conditioning.VIEW for term in recipe.guidance)
    assert recipe.guidance[0].conditioning is Conditioning.TEXT
    assert min(term.scale for term in recipe.guidance) == TEXT_SCALE
    depth = [term.conditioning is Conditioning.DEPTH for term in plain.guidance]
    assert [term.conditioning is Conditioning.DEPTH for term in recipe.guidance] == depth
    assert (recipe.optimize.azimuth_start_deg, recipe.optimize.warmup_steps) == (180.0, 0)
    assert recipe.optimize.timestep_start[1] > recipe.optimize.timestep_end[1]
    assert recipe.digest != plain.digest
    assert words_recipe(plain).optimize.hint is DepthHint.FIELD


def test_what_only_a_picture_has_is_refused() -> None:
    recipe = _recipe()
    for wrong, said in (
        (make_it_3d(Quality.DRAFT), "by the view of a photo"),
        (replace(recipe, refine=RefineConfig(steps=1)), "stage two"),
        (replace(recipe, inversion=InversionConfig(steps=1)), "a word learnt"),
        (replace(recipe, optimize=replace(recipe.optimize, cloud_start=True)), "a cloud guessed"),
        (replace(recipe, losses=replace(recipe.losses, clip_text=0.1)), "CLIP's likeness"),
        (replace(recipe, guidance=()), "nothing says what to make"),
    ):
        with pytest.raises(ConfigError, match=said):
            words_perception("a red ball", wrong)
        with pytest.raises(ConfigError, match=said):
            optimize(words_perception("a red ball", recipe), RedBallPrior(), wrong, seed=0, tools=TOOLS)
    with pytest.raises(ConfigError, match="empty prompt"):
        words_perception("  ", recipe)


def test_words_have_no_picture_and_photos_have() -> None:
    seen = words_perception(" a  red ball", _recipe())
    assert (seen.pictured, seen.caption) == (False, "a red ball")
    assert toy_perception("house")[1].pictured


def test_the_blob_is_soft_and_may_grow_all_over_the_ball() -> None:
    blob = blob_field(resolution=21, hull_resolution=16)
    middle = blob.raw_density_RRR[:, 10, 10]
    assert middle[10] == blob.raw_density_RRR.max() < 1
    assert np.interp(BLOB_RADIUS, np.linspace(-1, 1, 21), middle) == pytest.approx(0, abs=1e-6)
    assert (np.diff(middle[10:]) < 0).all()
    np.testing.assert_allclose(blob.raw_density_RRR, blob.raw_density_RRR.transpose(1, 2, 0), atol=1e-6)
    assert blob.hull_GGG[8, 8, [0, 15]].all()
    assert not blob.hull_GGG[0, 0, 0]


@pytest.fixture(scope="module")
def made() -> tuple[Any, RedBallPrior]:
    prior = RedBallPrior()
    return optimize(words_perception("a red ball", _recipe()), prior, _recipe(), seed=1, tools=TOOLS), prior


def test_a_thing_of_words_is_an_asset_like_any_other(made: tuple[Any, RedBallPrior], tmp_path: Path) -> None:
    asset, _ = made
    red, green, blue = np.median(asset.mesh.colors_N3, axis=0)
    assert red > 0.65 > 0.45 > max(green, blue)
    assert not {"color", "mask", "depth"} & set(asset.losses)
    assert "sds_image" in asset.losses
    assert "reference_psnr" not in asset.metrics
    files = write_asset(asset, tmp_path / "ball", PROVENANCE)
    assert not {MASK, DEPTH} & set(files.facts)
    check((files.folder / GLB).read_bytes())
    result = json.loads((files.folder / RESULT).read_text())
    assert result["depth"] is None
    assert "from words alone, without a picture" in result["remarks"][0]
    assert f"text at scale {TEXT_SCALE:g}" in result["remarks"][0]


def test_views_are_asked_for_all_round_from_the_first_step_on(made: tuple[Any, RedBallPrior]) -> None:
    _, prior = made
    said = {prompt.rsplit(", ", 1)[1] for query in prior.asked[:4] for prompt in query.prompts}
    assert {"front view", "side view", "back view"} <= said
    assert all(prompt.startswith("a red ball, ") for query in prior.asked for prompt in query.prompts)
    first, last = (np.mean([query.timesteps_B for query in some]) for some in (prior.asked[:6], prior.asked[-6:]))
    assert first > last + 200


def test_a_seed_makes_one_field_also_from_a_stored_state() -> None:
    recipe, seen, stored = _recipe(6), words_perception("a red ball", _recipe(6)), []

    def keep(saved: dict[str, Any]) -> None:
        if saved["step"] == 3:
            stored.append(copy.deepcopy(saved))

    def fitted(seed: int, **settings: Any) -> torch.Tensor:
        settled = fit_scene(seen, RedBallPrior(), recipe, seed=seed, tools=TOOLS, **settings)
        return settled.fitted.field.values_V4

    whole = fitted(1, checkpoint=keep)
    assert torch.equal(whole, fitted(1))
    assert not torch.equal(whole, fitted(2))
    torch.testing.assert_close(whole, fitted(1, resume_from=stored[0]))


def test_latent_fields_need_no_picture_either() -> None:
    recipe = _recipe(3)
    recipe = replace(recipe, optimize=replace(recipe.optimize, latent_field=True))
    settled = fit_scene(words_perception("a red ball", recipe), RedBallPrior(), recipe, seed=0, tools=TOOLS)
    assert "sds_chained" in settled.fitted.losses
    assert settled.fitted.field.values_V4.shape[1] == 4


def test_a_missing_photo_shows_nothing_of_a_mesh(made: tuple[Any, RedBallPrior]) -> None:
    mesh, subject = made[0].mesh, made[0].perception.subject
    view = PhotoView(subject=subject, c2w_44=np.eye(4, dtype=np.float32))
    assert not photo_weights(mesh, view).any()
    sheet = contact_sheet(mesh, subject, cell=16)
    assert (sheet[:, :16] == 255).all()
    assert (sheet[:16, 16:] < 255).any()


def test_the_front_of_words_is_azimuth_zero() -> None:
    settled = fit_scene(words_perception("a red ball", _recipe(1)), RedBallPrior(), _recipe(1), seed=0, tools=TOOLS)
    assert settled.scene.reference_view is None
    assert settled.scene.pose.elevation_deg == 0
    assert float(wrap_deg(np.rad2deg(np.arctan2(*settled.scene.c2w_44[[0, 2], 3])))) == pytest.approx(0)
