"""Fits that start from a point cloud: asked for by the recipe, answered by the bundle, refused where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray import lifting
from lift3d_ray.errors import ConfigError
from lift3d_ray.lifting import SceneTools, fit_scene, load_tools
from lift3d_ray.models.bundle import load_bundle
from lift3d_ray.models.roles import PointCloudGuesser
from lift3d_ray.optimize import prepare_scene
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import initial_state
from lift3d_ray.recipes import Quality, Recipe, make_it_3d
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.training.point_data import turned_to_front
from lift3d_ray.types import ColoredPoints, ReferencePose, UInt8
from tests.scenes import SCHEDULE, SIZE, PixelCodec, toy_perception

AZIMUTH, ELEVATION = 20.0, 20.0
TOY, PERCEPTION, FRAMING = toy_perception("house", azimuth_deg=AZIMUTH, elevation_deg=ELEVATION)


class KnowingGuesser:
    """Answers the toy's own points and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], int]] = []

    def guess_points(self, rgb_HWC: UInt8, *, seed: int) -> ColoredPoints:
        """A thousand points of the toy in the photo's frame."""
        self.asked.append((rgb_HWC.shape, seed))
        xyz, rgb, _ = surface_points(TOY, 1000, np.random.default_rng(seed))
        return ColoredPoints(xyz_N3=xyz @ turned_to_front(AZIMUTH).T, rgb_N3=rgb)


def recipe(cloud_start: bool) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    optimize = replace(draft.optimize, steps=1, resolutions=(24,), view_px=SIZE, cloud_start=cloud_start)
    return replace(draft, guidance=(), optimize=optimize)


def tools(guesser: PointCloudGuesser | None) -> SceneTools:
    return SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=False, point_cloud=guesser)  # type: ignore[arg-type]


def test_recipes_do_not_ask_unless_told() -> None:
    guesser = KnowingGuesser()
    assert not make_it_3d().optimize.cloud_start
    settled = fit_scene(PERCEPTION, None, recipe(False), seed=5, tools=tools(guesser))  # type: ignore[arg-type]
    assert guesser.asked == []
    assert settled.scene.points is None
    settled = fit_scene(PERCEPTION, None, recipe(True), seed=5, tools=tools(guesser))  # type: ignore[arg-type]
    assert guesser.asked == [((*PERCEPTION.subject.alpha_HW.shape, 3), 5)]
    assert settled.scene.points is not None


def test_a_bundle_without_a_cloud_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="no point_cloud"):
        fit_scene(PERCEPTION, None, recipe(True), seed=5, tools=tools(None))  # type: ignore[arg-type]


def test_tools_hold_the_cloud_s_model_only_where_the_recipe_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lifting, "load_point_cloud", lambda bundle, device: KnowingGuesser())
    bundle = load_bundle()
    bundle = replace(bundle, roles=(*bundle.roles, ("point_cloud", tmp_path)))
    without = [load_tools(bundle), load_tools(bundle, recipe=recipe(False))]
    assert all(some.point_cloud is None and some.has_point_cloud for some in without)
    assert load_tools(bundle, recipe=recipe(True)).point_cloud is not None
    with pytest.raises(ConfigError, match="load_tools"):
        fit_scene(PERCEPTION, None, recipe(True), seed=5, tools=replace(tools(None), has_point_cloud=True))  # type: ignore[arg-type]


def test_a_true_cloud_is_a_better_start_than_the_inflated_silhouette() -> None:
    pose = ReferencePose(elevation_deg=ELEVATION, framing=FRAMING)
    reference = view_reference(PERCEPTION.subject, PixelCodec(), None)  # type: ignore[arg-type]
    points = KnowingGuesser().guess_points(PERCEPTION.subject.rgb_HWC, seed=0)
    overlaps = []
    for given in (None, points):
        scene = prepare_scene(PERCEPTION, pose, reference, points=given)
        config = recipe(given is not None).optimize
        state = initial_state(scene, config, generator=torch.Generator().manual_seed(0), device="cpu")
        near = torch.from_numpy(points.xyz_N3)
        axis = torch.linspace(-1, 1, 24)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
        surface = torch.cdist(grid, near).amin(1) < 0.06
        inside = (state.field.values_V4[:, 0].detach() > 0).reshape(-1)
        overlaps.append(float((inside & surface).sum() / surface.sum()))
    assert overlaps[1] > overlaps[0] + 0.1
