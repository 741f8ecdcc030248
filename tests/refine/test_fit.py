"""Refinement against a prior that knows the toy: the hidden side must get the toy's colours, repeatably."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.optimize import Scene, prepare_scene
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.recipes import Conditioning, GuidanceTerm, Recipe, RefineConfig, make_it_3d
from lift3d_ray.refine import Baked, Refined, bake, refine
from lift3d_ray.types import (
    Float32,
    LearnedToken,
    Mesh,
    NoisePrediction,
    NoiseQuery,
    Perception,
    Progress,
    ReferencePose,
)
from tests.mesh.shapes import ball, flat, photographed
from tests.scenes import SCHEDULE, PixelCodec

RED, BLUE = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8)
CONFIG = RefineConfig(
    steps=10, size_px=32, point_px=40, viewpoints=6, views=2, width=4, learning_rate=1e-2, color_rate=5e-2, anchor=0.1
)


class AllRed:
    """A prior to which every view shows a flat red picture."""

    def __init__(self) -> None:
        self.queries: list[NoiseQuery] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from red to the query."""
        self.queries.append(query)
        picture = np.array(RED, np.float32)[None, :, None, None] * 2 - 1
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * picture) / sigma
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32), batch_size=len(noise))


def places(pictures_B3SS: Tensor) -> Tensor:
    """Features: the colours of 4 x 4 pixels."""
    return torch.nn.functional.avg_pool2d(pictures_B3SS, 4).flatten(2).transpose(1, 2)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A red ball as the photo shows it."""
    c2w = orbit_c2w(0, 20)[0]
    subject = photographed(ball(0.6, flat(*RED), resolution=20), c2w, size=64)
    disparity = np.zeros((64, 64), dtype=np.float32)
    perception = Perception(subject=subject, caption="a red ball", disparity_HW=disparity)
    reference = view_reference(subject, PixelCodec(), None)  # type: ignore[arg-type]
    return prepare_scene(perception, ReferencePose(elevation_deg=20.0), reference)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """A coarse result that is blue where the photo does not look."""
    return ball(
        0.6, lambda xyz: np.where(xyz[:, 2:] > 0, np.array(RED, np.float32), np.array(BLUE, np.float32)), resolution=20
    )


def recipe(config: RefineConfig = CONFIG) -> Recipe:
    whole = make_it_3d()
    return replace(whole, refine=config, mesh=replace(whole.mesh, faces=1500))


def refined(
    scene: Scene,
    mesh: Mesh,
    *,
    settings: Recipe | None = None,
    prior: object = None,
    seed: int = 0,
    plain: bool = False,
) -> Refined:
    return refine(
        scene,
        mesh,
        settings or recipe(),
        prior or AllRed(),  # type: ignore[arg-type]
        PixelCodec(),  # type: ignore[arg-type]
        SCHEDULE,
        trunk=None if plain else places,
        generator=torch.Generator().manual_seed(seed),
        report=lambda progress: None,
    )


def baked(scene: Scene, mesh: Mesh, found: Refined) -> Baked:
    view = PhotoView(subject=scene.perception.subject, c2w_44=scene.c2w_44, framing=scene.pose.framing)
    return bake(mesh, found, view, recipe(replace(CONFIG, texture_px=64)))


def back_error(mesh: Mesh, rgb_N3: Float32) -> float:
    """Mean distance from red behind."""
    return float(np.abs(rgb_N3[mesh.vertices_N3[:, 2] < -0.2] - np.array(RED, np.float32)).mean())


def test_a_knowing_prior_colours_the_back(scene: Scene, mesh: Mesh) -> None:
    found = refined(scene, mesh)
    after = baked(scene, mesh, found).mesh
    assert back_error(mesh, after.colors_N3) < 0.6 * back_error(mesh, mesh.colors_N3)
    facing = mesh.normals_N3 @ scene.c2w_44[:3, 2] > 0.6
    np.testing.assert_allclose(after.colors_N3[facing], mesh.colors_N3[facing], atol=1e-3)
    assert {"refine_color", "refine_prior", "refine_contextual", "refine_similarity"} <= set(found.losses)
    assert found.prior_batch == CONFIG.views


def test_the_prior_is_told_of_learnt_words_and_blends_as_in_the_coarse_stage(scene: Scene, mesh: Mesh) -> None:
    token, prior = LearnedToken(vectors_TD=np.ones((1, 3), np.float32)), AllRed()
    whole = recipe(replace(CONFIG, steps=1))
    told = replace(
        whole,
        guidance=(GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0),),
        optimize=replace(whole.optimize, blend_prompts=True),
    )
    refined(replace(scene, caption=f"a {token.word}", learned=(token,)), mesh, settings=told, prior=prior)
    (query,) = prior.queries
    assert query.learned == (token,)
    assert all(token.word in prompt for prompt in query.prompts)
    assert query.blend is not None


def test_no_steps_change_nothing(scene: Scene, mesh: Mesh) -> None:
    found = refined(scene, mesh, settings=recipe(replace(CONFIG, steps=0)))
    np.testing.assert_array_equal(found.before_VSSC, found.after_VSSC)
    after = baked(scene, mesh, found)
    np.testing.assert_allclose(after.mesh.colors_N3, mesh.colors_N3, atol=1e-6)
    np.testing.assert_allclose(after.points.rgb_N3, found.points.rgb_N3, atol=1e-6)


def test_the_same_generator_gives_the_same_result(scene: Scene, mesh: Mesh) -> None:
    few = recipe(replace(CONFIG, steps=4))
    one, two, other = (refined(scene, mesh, settings=few, seed=s).after_VSSC for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-4


def test_progress_counts_every_step(scene: Scene, mesh: Mesh) -> None:
    seen: list[Progress] = []
    refine(
        scene,
        mesh,
        recipe(replace(CONFIG, steps=3)),
        AllRed(),
        PixelCodec(),  # type: ignore[arg-type]
        SCHEDULE,
        trunk=None,
        generator=torch.Generator().manual_seed(0),
        report=seen.append,
    )
    assert [(p.stage, p.step, p.steps) for p in seen] == [("refine", k, 3) for k in (1, 2, 3)]
    assert seen[-1].prior_batch == CONFIG.views


def test_without_prior_and_trunk_the_photo_still_leads(scene: Scene, mesh: Mesh) -> None:
    few = replace(recipe(replace(CONFIG, steps=3)), guidance=())
    found = refined(scene, mesh, settings=few, plain=True)
    assert set(found.losses) == {"refine_color", "refine_background", "refine_anchor"}
    assert found.prior_batch == 0


def test_the_prior_is_told_view_and_depth(scene: Scene, mesh: Mesh) -> None:
    deep = replace(recipe(replace(CONFIG, steps=1)), guidance=(GuidanceTerm(conditioning=Conditioning.DEPTH, scale=1),))
    prior = AllRed()
    refined(scene, mesh, settings=deep, prior=prior)
    (query,) = prior.queries
    assert query.disparity_B1HW is not None
    assert query.disparity_B1HW.shape == (CONFIG.views, 1, PixelCodec.image_size, PixelCodec.image_size)
    assert query.disparity_B1HW.max() == 1
    low, high = CONFIG.timesteps
    assert all(low * 1000 - 1 <= t <= high * 1000 + 1 for t in query.timesteps_B)
    assert all("a red ball, " in prompt for prompt in query.prompts)


def test_losses_that_are_not_finite_fail_in_words(scene: Scene, mesh: Mesh) -> None:
    def broken(pictures_B3SS: Tensor) -> Tensor:
        return places(pictures_B3SS) * float("nan")

    with pytest.raises(OptimizationFailed, match="not finite at step 0 of the refinement"):
        refine(
            scene,
            mesh,
            recipe(),
            AllRed(),
            PixelCodec(),  # type: ignore[arg-type]
            SCHEDULE,
            trunk=broken,
            generator=torch.Generator().manual_seed(0),
            report=lambda progress: None,
        )
