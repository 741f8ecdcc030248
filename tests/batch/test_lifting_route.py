"""The real route hands what the run was told to the lift."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lift3d_ray.deployments.handles
import lift3d_ray.guidance.drawing
import lift3d_ray.lifting
import lift3d_ray.models.bundle
from lift3d_ray.batch.lifting_route import open_perceive
from lift3d_ray.batch.route import RunContext
from lift3d_ray.recipes import by_name
from lift3d_ray.store.keys import Settings, picture_seed, prompt_digest
from lift3d_ray.subject.select import Selection
from lift3d_ray.types import Photo
from tests.batch.fakes import RECIPE


def test_the_perceiver_selects_what_the_run_was_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def perceive(photo: Any, models: Any, recipe: Any, **settings: Any) -> str:
        asked.update(models=models, recipe=recipe, **settings)
        return "perception"

    monkeypatch.setattr(lift3d_ray.deployments.handles, "connect", lambda app: f"models of {app}")
    monkeypatch.setattr(lift3d_ray.lifting, "perceive", perceive)
    recipe, selection = by_name("make-it-3d", "draft"), Selection(words="the mug")
    settings = Settings(recipe="r", quality="q", recipe_digest="d", bundle_digest="b", run_seed=0)
    context = RunContext(
        run="r", out="o", settings=settings, recipe=recipe, bundle="b", app_name="app", selection=selection
    )
    data = io.BytesIO()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(data, "PNG")
    answer = open_perceive(context)(data.getvalue(), name="black.png")
    told = {"selection": selection, "mask": None, "prompt": None}
    assert asked == {"models": "models of app", "recipe": recipe, **told}
    assert (answer.photo_height_px, answer.photo_width_px) == (40, 60)


def test_a_run_of_prompts_draws_its_pictures_and_tells_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, str, int]] = []
    told: dict[str, Any] = {}

    def draw(prompt: str, *models: Any, digest: str, generator: Any) -> Photo:
        drawn.append((prompt, digest, generator.initial_seed()))
        return Photo(rgb_HWC=np.zeros((8, 9, 3), np.uint8), alpha_HW=None, digest=digest, name=prompt, drawn=True)

    def perceive(photo: Any, models: Any, recipe: Any, **settings: Any) -> str:
        told.update(photo=photo, **settings)
        return "perception"

    models = SimpleNamespace(prior="prior", clip="clip")
    monkeypatch.setattr(lift3d_ray.deployments.handles, "connect", lambda app: models)
    monkeypatch.setattr(lift3d_ray.guidance.drawing, "draw_photo", draw)
    monkeypatch.setattr(lift3d_ray.models.bundle, "load_codec", lambda bundle: "codec")
    monkeypatch.setattr(lift3d_ray.lifting, "perceive", perceive)
    settings = Settings(recipe="r", quality="q", recipe_digest="d", bundle_digest="b", run_seed=4)
    context = RunContext(
        run="r", out="o", settings=settings, recipe=RECIPE, bundle="toybox", app_name="app", draws=True
    )
    open_perceive(context)(b"a red mug", name="a red mug")
    digest = prompt_digest("a red mug")
    assert drawn == [("a red mug", digest, picture_seed(4, digest))]
    assert (told["photo"].drawn, told["prompt"], told["mask"]) == (True, "a red mug", None)
