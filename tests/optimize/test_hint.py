"""Fits whose prior is told a cloud's depth: it lies where the novel views look, stays, and is told only on request."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.field.render import render_view
from lift3d_ray.lifting import SceneTools, SettledScene, fit_scene
from lift3d_ray.models.roles import PointCloudGuesser
from lift3d_ray.optimize import Scene, prepare_scene
from lift3d_ray.optimize.hint import cloud_hint, hint_cloud
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import initial_state
from lift3d_ray.recipes import Conditioning, DepthHint, GuidanceTerm, OptimizeConfig, Quality, Recipe, make_it_3d
from lift3d_ray.toybox import render
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.training.point_data import turned_to_front
from lift3d_ray.types import Bool, ColoredPoints, Float32, NoisePrediction, NoiseQuery, ReferencePose, UInt8
from tests.scenes import SCHEDULE, SIZE, PixelCodec, toy_perception

AZIMUTH, ELEVATION = 20.0, 20.0
TOY, PERCEPTION, FRAMING = toy_perception("car", azimuth_deg=AZIMUTH, elevation_deg=ELEVATION)
SIDE = 64
"""Of the pictures in which silhouettes are compared."""


class KnowingGuesser:
    """Answers the toy's own points and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], int]] = []

    def guess_points(self, rgb_HWC: UInt8, *, seed: int) -> ColoredPoints:
        """Three thousand points of the toy in the photo's frame."""
        self.asked.append((rgb_HWC.shape, seed))
        xyz, rgb, _ = surface_points(TOY, 3000, np.random.default_rng(seed))
        return ColoredPoints(xyz_N3=xyz @ turned_to_front(AZIMUTH).T, rgb_N3=rgb)


class HintPainter:
    """Believes that every view looks as the depth it is told of, and notes what that was."""

    def __init__(self) -> None:
        self.told: list[Float32] = []

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that leads from the hint, as a grey picture, to the query."""
        assert query.disparity_B1HW is not None
        self.told.append(query.disparity_B1HW)
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = (query.noisy_latents_BCHW - signal * (2 * query.disparity_B1HW - 1)) / sigma
        return NoisePrediction(noise_BCHW=np.asarray(noise, dtype=np.float32))


def recipe(hint: DepthHint, **changed: Any) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    small: dict[str, Any] = {"steps": 6, "resolutions": (24,), "view_px": SIZE, "warmup_steps": 0, "hint": hint}
    return replace(
        draft,
        guidance=(GuidanceTerm(conditioning=Conditioning.DEPTH, scale=1.0),),
        optimize=replace(draft.optimize, **(small | changed)),
    )


def settled(
    asked: Recipe, prior: HintPainter, guesser: PointCloudGuesser | None = None, *, seed: int = 5, **options: Any
) -> SettledScene:
    tools = SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=False, point_cloud=guesser)  # type: ignore[arg-type]
    return fit_scene(PERCEPTION, prior, asked, seed=seed, tools=tools, **options)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The toy under its true pose, so that it stands in the lift's world as in its own, turned to the front."""
    pose = ReferencePose(elevation_deg=ELEVATION, framing=FRAMING)
    return prepare_scene(PERCEPTION, pose, view_reference(PERCEPTION.subject, PixelCodec(), None))  # type: ignore[arg-type]


def seen(cloud: ColoredPoints, azimuth_deg: float, *, radius: float) -> Bool:
    at = np.array([azimuth_deg], dtype=np.float32), np.array([15.0], dtype=np.float32)
    return np.asarray(cloud_hint(cloud, *at, size=SIDE, radius=radius)[0, 0] > 0)


def overlap(one: Bool, other: Bool) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("azimuth", [90.0, -90.0, 180.0])
def test_a_model_s_cloud_lies_where_a_render_of_its_solid_lies(scene: Scene, azimuth: float) -> None:
    guessed = KnowingGuesser().guess_points(PERCEPTION.subject.rgb_HWC, seed=0)
    cloud = hint_cloud(replace(scene, points=guessed), OptimizeConfig(), seed=0)
    truth, elsewhere = (
        render(TOY, orbit_c2w(AZIMUTH + turn, 15.0), size=SIDE).alpha[0] > 0.5 for turn in (azimuth, azimuth + 45)
    )
    closed = seen(cloud, azimuth, radius=OptimizeConfig().hint_radius)
    assert overlap(closed, truth) > 0.85
    assert overlap(closed, elsewhere) < 0.75
    assert (truth & ~closed).sum() < 0.01 * truth.sum()
    points = seen(cloud, azimuth, radius=0.0)
    assert (truth & ~points).sum() > 0.05 * truth.sum()
    assert overlap(binary_dilation(points), truth) > 0.8


@pytest.mark.parametrize("azimuth", [90.0, -90.0])
def test_without_a_model_the_cloud_is_the_surface_that_the_field_starts_from(scene: Scene, azimuth: float) -> None:
    config = OptimizeConfig(resolutions=(48,))
    cloud = hint_cloud(scene, config, seed=0)
    field, camera = initial_state(scene, config, generator=torch.Generator()).field, orbit_c2w(azimuth, 15.0)[0]
    drawn = render_view(field, camera, SIDE, sharpness=80.0, n_samples=96, background=torch.ones(3))
    assert overlap(seen(cloud, azimuth, radius=config.hint_radius), drawn.opacity_HW.numpy() > 0.5) > 0.85
    again, other = (hint_cloud(scene, config, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.xyz_N3, cloud.xyz_N3)
    assert np.abs(other.xyz_N3 - cloud.xyz_N3).max() > 1e-3


def test_the_nearest_point_wins_and_is_one(scene: Scene) -> None:
    pair = ColoredPoints(
        xyz_N3=np.array([[0, 0, 0.5], [0, 0, -0.5], [0.5, 0, 0]], dtype=np.float32),
        rgb_N3=np.zeros((3, 3), dtype=np.float32),
    )
    # From the right, +X comes first and the two others stand left and right of it, on one depth.
    front, right = cloud_hint(
        pair, np.array([0, 90], np.float32), np.array([0, 0], np.float32), size=33, radius=0.1
    )[:, 0]
    assert (front[16, 16], right[16, 16]) == (1, 1)
    assert (front[0, 0], right[0, 0]) == (0, 0)
    assert right[right > 0].min() == pytest.approx(1 / 255)
    assert sorted({round(float(v), 3) for v in front.ravel()}) == [0, pytest.approx(1 / 255, abs=1e-3), 1]


def test_the_prior_is_told_the_field_s_depth_unless_told_otherwise() -> None:
    own, guesser = HintPainter(), KnowingGuesser()
    assert OptimizeConfig().hint is DepthHint.FIELD
    assert settled(recipe(DepthHint.FIELD), own, guesser).scene.cloud is None
    assert guesser.asked == []
    other = HintPainter()
    found = settled(recipe(DepthHint.CLOUD), other, guesser).scene
    assert guesser.asked == []  # the field starts as it would, and so does the cloud
    assert found.points is None
    assert found.cloud is not None
    started = settled(recipe(DepthHint.CLOUD, cloud_start=True), HintPainter(), guesser).scene
    assert guesser.asked == [((*PERCEPTION.subject.alpha_HW.shape, 3), 5)]
    assert started.points is not None
    assert started.cloud is not None
    assert len(started.cloud.xyz_N3) == len(started.points.xyz_N3)
    assert len(own.told) == len(other.told) == 6
    for hint in (*own.told, *other.told):
        assert hint.shape == (4, 1, SIZE, SIZE)
        assert hint.max() == pytest.approx(1)
    assert all(np.abs(one - two).mean() > 0.01 for one, two in zip(own.told, other.told, strict=True))


def test_only_recipes_that_tell_depth_need_a_cloud() -> None:
    guesser = KnowingGuesser()
    found = settled(replace(recipe(DepthHint.CLOUD), guidance=()), HintPainter(), guesser)
    assert guesser.asked == []
    assert found.scene.cloud is None


def test_the_cloud_stays_while_the_field_moves() -> None:
    painter = HintPainter()
    settled(recipe(DepthHint.CLOUD, learning_rate=0.5), painter)
    untouched = HintPainter()
    settled(recipe(DepthHint.CLOUD, learning_rate=1e-6), untouched)
    for one, two in zip(painter.told, untouched.told, strict=True):
        np.testing.assert_array_equal(one, two)


def test_views_that_are_drawn_once_are_told_the_cloud_too() -> None:
    painter = HintPainter()
    found = settled(recipe(DepthHint.CLOUD, drawn_views=3, drawing_steps=2), painter)
    assert len(painter.told) == 2
    cloud = found.scene.cloud
    assert cloud is not None
    low, high = OptimizeConfig().elevation_deg
    azimuth = np.array([-120, 0, 120], dtype=np.float32)
    elevation = np.array([low + (high - low) * (k * 0.618034 % 1) for k in range(3)], dtype=np.float32)
    wanted = cloud_hint(cloud, azimuth, elevation, size=SIZE, radius=OptimizeConfig().hint_radius)
    for told in painter.told:
        np.testing.assert_array_equal(told, wanted)


@pytest.mark.parametrize("guesser", [None, KnowingGuesser()], ids=["solid", "model"])
def test_a_stopped_fit_goes_on_with_the_same_cloud(guesser: PointCloudGuesser | None) -> None:
    asked, saved = recipe(DepthHint.CLOUD, cloud_start=guesser is not None), list[dict[str, Any]]()

    def keep(state: dict[str, Any]) -> None:
        if state.get("step") == 3:
            saved.append(copy.deepcopy(state))

    whole = settled(asked, HintPainter(), guesser, checkpoint=keep)
    again = settled(asked, HintPainter(), guesser, resume_from=saved[0])
    torch.testing.assert_close(again.fitted.field.values_V4, whole.fitted.field.values_V4, rtol=0, atol=0)
    fields = recipe(DepthHint.FIELD, cloud_start=guesser is not None)
    own = settled(fields, HintPainter(), guesser, resume_from=saved[0])
    assert not torch.equal(own.fitted.field.values_V4, whole.fitted.field.values_V4)


def test_a_radius_that_makes_no_sense_is_refused() -> None:
    for radius in (-0.1, 0.6):
        with pytest.raises(ConfigError, match="hint_radius"):
            OptimizeConfig(hint_radius=radius)
