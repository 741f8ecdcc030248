"""Edits against priors that know one colour: what is edited, what follows, and what must not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.edit import (
    LiftedAsset,
    edit_by_picture,
    edit_by_prompt,
    edited_subject,
    picture_recipe,
    prompt_recipe,
    read_lifted,
)
from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.export.write import GLB, write_asset
from lift3d_ray.lifting import SceneTools
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.models.roles import Models
from lift3d_ray.recipes import Conditioning, Quality, Recipe, RefineConfig
from lift3d_ray.types import Asset, Float32, NoisePrediction, NoiseQuery, Photo, Progress, Subject, UInt8
from tests.edit.folders import asset_folder, triangles
from tests.export.assets import PROVENANCE, small_asset
from tests.export.glb_check import check_textured
from tests.mesh.shapes import ball, flat, photographed
from tests.scenes import SCHEDULE, PixelCodec

BLUE = (0.15, 0.2, 0.85)
TOOLS = SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=True)  # type: ignore[arg-type]


class AllBlue:
    """A prior to which every view shows a flat blue picture."""

    def __init__(self) -> None:
        self.queries: list[NoiseQuery] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from blue to the query."""
        self.queries.append(query)
        picture = np.array(BLUE, np.float32)[None, :, None, None] * 2 - 1
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * picture) / sigma
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32), batch_size=len(noise))


class BlueWords:
    """A captioner and an encoder that know how blue a picture is, and nothing else."""

    def caption(self, rgb_HWC: UInt8) -> str:
        """What it is always called."""
        return "a blue ball, back view"

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """(B, 2) unit vectors, the bluer the further along the first axis."""
        share = images_BHWC[..., 2].mean((1, 2)) / images_BHWC.sum(-1).mean((1, 2))
        return np.stack([share, np.sqrt(1 - share**2)], axis=1).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """(B, 2) the first axis."""
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))


def models(prior: AllBlue) -> Models:
    unused: Any = None
    words: Any = BlueWords()
    return Models(segmenter=unused, captioner=words, depth=unused, clip=words, prior=prior)


def small(recipe: Recipe, steps: int, **numbers: Any) -> Recipe:
    config = RefineConfig(
        steps=steps,
        size_px=32,
        point_px=40,
        viewpoints=6,
        views=2,
        width=4,
        descriptors=2,
        texture_px=128,
        timesteps=recipe.refine.timesteps,
        reference=recipe.refine.reference,
        anchor=recipe.refine.anchor,
        anchor_seen=recipe.refine.anchor_seen,
        **numbers,
    )
    mesh = replace(recipe.mesh, points=200, turntable_frames=2, turntable_px=32)
    return replace(recipe, refine=config, mesh=mesh)


@pytest.fixture(scope="module")
def lifted(tmp_path_factory: pytest.TempPathFactory) -> LiftedAsset:
    return read_lifted(asset_folder(tmp_path_factory.mktemp("edit") / "ball"), texture_px=128)


def blue_picture() -> Photo:
    """The ball of the small asset, painted blue, as its photo's camera sees it."""
    picture = photographed(ball(0.7, flat(*BLUE), resolution=20), orbit_c2w(0, 20)[0], size=64)
    return Photo(rgb_HWC=picture.rgb_HWC, alpha_HW=None, digest="", name="blue.png")


def blue_subject(lifted: LiftedAsset) -> Subject:
    return edited_subject(blue_picture(), lifted)[0]


def by_picture(lifted: LiftedAsset, steps: int, prior: AllBlue, report: Any = lambda progress: None) -> Asset:
    recipe = small(picture_recipe(Quality.DRAFT), steps)
    return edit_by_picture(lifted, blue_subject(lifted), models(prior), recipe, seed=1, tools=TOOLS, report=report)


def seen_from(asset: Asset, azimuth_deg: float) -> Float32:
    """(3,) mean colour of what is not background."""
    view = rasterize(asset.mesh, orbit_c2w(azimuth_deg, 0.0), size=48)
    return np.asarray(view.rgb_VHWC[0][view.alpha_VHW[0] > 0.99].mean(0))


def test_a_picture_alone_colours_the_back_as_well(lifted: LiftedAsset) -> None:
    prior = AllBlue()
    asset = by_picture(lifted, 0, prior)
    assert prior.queries == []
    assert asset.metrics["reference_psnr"] > 25
    for azimuth in (0.0, 90.0, 180.0):
        np.testing.assert_allclose(seen_from(asset, azimuth), BLUE, atol=0.15)
    assert asset.perception.caption == "a blue ball"


def test_the_prior_is_told_of_the_edited_picture(lifted: LiftedAsset) -> None:
    prior = AllBlue()
    seen: list[Progress] = []
    asset = by_picture(lifted, 2, prior, seen.append)
    assert [(p.stage, p.step) for p in seen] == [("caption", 0), ("transfer", 0), ("refine", 1), ("refine", 2)]
    (query, *_) = prior.queries
    assert query.view is not None
    reference = query.view.reference_latents_BCHW[0] / 2 + 0.5
    middle = reference[:, 12:20, 12:20].mean((1, 2))
    np.testing.assert_allclose(middle, BLUE, atol=0.05)
    assert {"refine_color", "refine_prior"} <= set(asset.losses)


def test_words_repaint_all_round_and_clip_says_so(lifted: LiftedAsset) -> None:
    prior = AllBlue()
    recipe = small(prompt_recipe(Quality.DRAFT, with_depth=True), 15, color_rate=5e-2)
    asset = edit_by_prompt(lifted, "a  blue ball", models(prior), recipe, seed=1, tools=TOOLS)
    before = small_asset()
    for azimuth in (0.0, 90.0, 180.0, 270.0):
        was, is_now = seen_from(before, azimuth), seen_from(asset, azimuth)
        assert np.abs(is_now - BLUE).sum() < 0.6 * np.abs(was - BLUE).sum()
    assert asset.metrics["words"] > asset.metrics["words_before"]
    query = prior.queries[0]
    assert query.disparity_B1HW is not None
    assert all(prompt.startswith("a blue ball, ") for prompt in query.prompts)
    # What the asset now looks like is what later edits go by.
    shown = asset.perception.subject
    inside = shown.alpha_HW > 0.5
    assert np.abs(shown.rgb_HWC[inside].mean(0) / 255 - BLUE).sum() < 0.5
    assert asset.perception.caption == "a blue ball"


@pytest.mark.parametrize("by_words", [False, True])
def test_geometry_is_the_same_to_the_bit_and_an_edit_can_be_edited(
    lifted: LiftedAsset, tmp_path: Path, by_words: bool
) -> None:
    recipe = small(prompt_recipe(Quality.DRAFT, with_depth=False), 1)
    asset = (
        edit_by_prompt(lifted, "a blue ball", models(AllBlue()), recipe, seed=1, tools=TOOLS)
        if by_words
        else by_picture(lifted, 0, AllBlue())
    )
    files = write_asset(asset, tmp_path / "edited", PROVENANCE)
    glb = check_textured((files.folder / GLB).read_bytes())
    first = small_asset().mesh
    wanted = triangles(first.vertices_N3, first.faces_F3)
    assert np.array_equal(triangles(glb.attribute("POSITION"), glb.indices.reshape(-1, 3)), wanted)
    again = read_lifted(files.folder, texture_px=64)
    second = by_picture(again, 0, AllBlue())
    assert second.textured is not None
    assert np.array_equal(second.textured.vertices_N3, glb.attribute("POSITION"))
    assert np.array_equal(second.textured.uv_N2, glb.attribute("TEXCOORD_0"))


def test_the_same_seed_gives_the_same_colours(lifted: LiftedAsset) -> None:
    recipe = small(prompt_recipe(Quality.DRAFT, with_depth=False), 2)
    colours = [
        edit_by_prompt(lifted, "a blue ball", models(AllBlue()), recipe, seed=seed, tools=TOOLS).mesh.colors_N3
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(colours[0], colours[1])
    assert not np.array_equal(colours[0], colours[2])


def test_no_words_and_no_steps_are_refused(lifted: LiftedAsset) -> None:
    recipe = small(prompt_recipe(Quality.DRAFT, with_depth=False), 1)
    with pytest.raises(ConfigError, match="needs some and 1 step or more, got ''"):
        edit_by_prompt(lifted, "  ", models(AllBlue()), recipe, seed=1, tools=TOOLS)
    idle = replace(recipe, refine=replace(recipe.refine, steps=0))
    with pytest.raises(ConfigError, match="'a blue ball', 0 steps"):
        edit_by_prompt(lifted, "a blue ball", models(AllBlue()), idle, seed=1, tools=TOOLS)


def test_a_picture_that_sees_nothing_of_the_asset_is_refused(lifted: LiftedAsset) -> None:
    subject = blue_subject(lifted)
    corner = np.zeros_like(subject.alpha_HW)
    corner[:4, :4] = 1
    recipe = small(picture_recipe(Quality.DRAFT), 0)
    with pytest.raises(InputError, match="shows nothing of the asset"):
        edit_by_picture(
            lifted, replace(subject, alpha_HW=corner), models(AllBlue()), recipe, seed=1, tools=TOOLS
        )


def test_recipes_differ_by_what_they_go_by() -> None:
    words, deep = (prompt_recipe(with_depth=with_depth) for with_depth in (False, True))
    assert [r.guidance[0].conditioning for r in (words, deep)] == [Conditioning.TEXT, Conditioning.DEPTH]
    assert words.refine.reference == 0
    picture = picture_recipe(Quality.FINE)
    assert picture.guidance[0].conditioning is Conditioning.VIEW
    assert picture.refine.steps > picture_recipe(Quality.DRAFT).refine.steps
