"""A scene's own CLIP: loaded where a recipe asks for it, frozen, and missed in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.lifting import SceneTools, fit_scene, load_tools
from lift3d_ray.models.bundle import load_bundle, load_scene_clip
from lift3d_ray.optimize.likeness import subject_likeness
from lift3d_ray.recipes import Quality, Recipe, make_it_3d
from tests.scenes import SCHEDULE, PixelCodec, toy_perception


def _asking() -> Recipe:
    plain = replace(make_it_3d(Quality.DRAFT), guidance=())
    return replace(
        plain,
        optimize=replace(plain.optimize, steps=2, warmup_steps=0, resolutions=(16,)),
        losses=replace(plain.losses, clip_image=0.1, clip_text=0.1),
    )


def _tools() -> SceneTools:
    return SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=False)  # type: ignore[arg-type]


def test_a_recipe_that_asks_clip_is_refused_without_it() -> None:
    _, perception, _ = toy_perception("house")
    with pytest.raises(ConfigError, match="load_tools"):
        fit_scene(perception, None, _asking(), seed=0, tools=_tools())  # type: ignore[arg-type]


def test_the_bundle_s_clip_pulls_a_scene() -> None:
    _, perception, _ = toy_perception("house")
    encoder = load_scene_clip(load_bundle())
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    losses = fit_scene(
        perception,
        None,  # type: ignore[arg-type]
        _asking(),
        seed=0,
        tools=replace(_tools(), clip=encoder),
    ).fitted.losses
    assert 0 < losses["clip_image"] < 0.1
    assert 0 < losses["clip_text"] < 0.2


def test_the_likeness_is_of_the_cut_out_and_the_caption() -> None:
    _, perception, _ = toy_perception("house")
    encoder = load_scene_clip(load_bundle())
    known = subject_likeness(perception.subject, "a house", PixelCodec(), encoder)  # type: ignore[arg-type]
    both = torch.stack([known.picture_D, known.words_D])
    torch.testing.assert_close(both.norm(dim=-1), torch.ones(2))
    assert not both.requires_grad
    picture = encoder.encode_images(np.ascontiguousarray(perception.subject.over(1.0))[None])[0]
    # Blurred to the renders' size, so alike but not the same.
    assert float(known.picture_D @ torch.from_numpy(picture)) > 0.8
    np.testing.assert_allclose(known.words_D.numpy(), encoder.encode_texts(["a house"])[0], atol=1e-5)


def test_tools_hold_clip_only_where_the_recipe_asks() -> None:
    bundle = load_bundle()
    assert load_tools(bundle).clip is None
    assert load_tools(bundle, recipe=make_it_3d()).clip is None
    assert load_tools(bundle, recipe=_asking()).clip is not None
