"""Fits of a subject whose own word is learnt first: stopped anywhere, they go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.lifting import SceneTools, SettledScene, fit_scene
from lift3d_ray.models.analytic import AnalyticPrior
from lift3d_ray.recipes import Conditioning, GuidanceTerm, InversionConfig, Quality, Recipe, make_it_3d
from tests.scenes import SCHEDULE, SIZE, PixelCodec, toy_perception

PERCEPTION = toy_perception("house")[1]
WORD_STEPS, FIT_STEPS = 4, 5


def recipe(*, word_steps: int = WORD_STEPS) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    return replace(
        draft,
        guidance=(GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0),),
        inversion=InversionConfig(steps=word_steps, rate=4.0, norm_pull=0.0, batch=2, held_out=4),
        optimize=replace(draft.optimize, steps=FIT_STEPS, resolutions=(16,), view_px=SIZE, warmup_steps=1),
    )


def settled(asked: Recipe, **options: Any) -> SettledScene:
    """A fit with a prior that believes in grey, and in what learnt words say."""
    prior = AnalyticPrior(np.full((3, SIZE, SIZE), -0.1, np.float32), spread=0.3)
    tools = SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=False)  # type: ignore[arg-type]
    return fit_scene(PERCEPTION, prior, asked, seed=7, tools=tools, **options)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[SettledScene, list[Path]]:
    """The whole fit, and the files of its states in order."""
    folder, files = tmp_path_factory.mktemp("states"), list[Path]()

    def store(state: dict[str, Any]) -> None:
        files.append(folder / f"{len(files)}.pt")
        torch.save(state, files[-1])

    return settled(recipe(), checkpoint=store), files


@pytest.mark.parametrize("at", [1, WORD_STEPS - 1, WORD_STEPS, WORD_STEPS + 2])
def test_a_stopped_fit_ends_as_the_unbroken_one(unbroken: tuple[SettledScene, list[Path]], at: int) -> None:
    whole, files = unbroken
    assert len(files) == WORD_STEPS + FIT_STEPS
    state = torch.load(files[at], weights_only=True)
    assert ("values" in state) is (at >= WORD_STEPS)
    again = settled(recipe(), resume_from=state)
    torch.testing.assert_close(again.fitted.field.values_V4, whole.fitted.field.values_V4, rtol=0, atol=0)
    assert again.scene.caption == whole.scene.caption
    assert again.metrics == whole.metrics
    assert whole.metrics["inversion_loss_after"] < whole.metrics["inversion_loss_before"]


def test_the_word_matters_to_the_fit(unbroken: tuple[SettledScene, list[Path]]) -> None:
    plain = settled(recipe(word_steps=0))
    assert plain.scene.learned == ()
    assert not torch.equal(plain.fitted.field.values_V4, unbroken[0].fitted.field.values_V4)
