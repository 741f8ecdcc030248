"""The real route hands what the run was told to the lift."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lift3d_ray.deployments.handles
import lift3d_ray.lifting
from lift3d_ray.batch.lifting_route import open_perceive
from lift3d_ray.batch.route import RunContext
from lift3d_ray.recipes import by_name
from lift3d_ray.store.keys import Settings
from lift3d_ray.subject.select import Selection


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
    assert asked == {"models": "models of app", "recipe": recipe, "selection": selection, "mask": None}
    assert (answer.photo_height_px, answer.photo_width_px) == (40, 60)
