"""How the point cloud is taught: points where the picture shows the toy, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.field.cloud import splat
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig
from lift3d_ray.toybox import shards
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.training import coarse_data, point_data, point_e
from lift3d_ray.toybox.training.coarse_data import azimuth_deg, build_coarse
from lift3d_ray.toybox.training.point_data import PointSet, build_points, load_points, turned_to_front
from lift3d_ray.toybox.training.point_e import PointCloudTask, _mirror, _pictures, _recolour, closeness
from lift3d_ray.types import ColoredPoints
from tests.models.small_clip import write_untrained_clip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PointSet:
    folder: Path = tmp_path_factory.mktemp("clouds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coarse_data, "_TOYS_A_SHARD", 2)
        patch.setattr(point_data, "_TOYS_A_SHARD", 3)
        build_coarse(folder / "solids", toys=4, split=Split.HELD_OUT)
        build_points(folder / "points", toys=6, split=Split.HELD_OUT)
    return load_points(folder / "points", folder / "solids")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> PictureGrid:
    where = tmp_path_factory.mktemp("bundle") / "clip"
    write_untrained_clip(where)
    return PictureGrid(load_image_encoder(where))


def test_toys_without_pictures_are_left_out(data: PointSet) -> None:
    assert data.xyz_MK3.shape == data.rgb_MK3.shape == (4, point_data.POINTS, 3)
    assert data.rgba_NSSC.shape == (12, 64, 64, 4)


def test_clouds_lie_where_their_pictures_show_the_toy(data: PointSet) -> None:
    rows = np.arange(12)
    xyz, rgb = data.seen_points(rows)
    assert np.linalg.norm(xyz, axis=-1).max() <= 1 + 1e-4
    agreed = []
    for row in rows:
        # The same draws as of the picture's camera: azimuth, then elevation.
        dice = np.random.default_rng([int(row), 23])
        _, elevation = dice.uniform(0, 360), dice.uniform(-8, 45)
        points = ColoredPoints(xyz_N3=xyz[row], rgb_N3=rgb[row])
        seen = splat(points, orbit_c2w(0.0, elevation)[0], size=64).depth_HW > 0
        shown = data.rgba_NSSC[row, ..., 3] > 127
        agreed.append(_iou_of_boxes(seen, shown))
    assert min(agreed) > 0.7


def _iou_of_boxes(one: np.ndarray, other: np.ndarray) -> float:
    """Of two silhouettes brought to the same box: pictures are framed closer than canonical views."""

    def boxed(mask: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(mask)
        centre = np.array([rows.min() + rows.max() + 1, columns.min() + columns.max() + 1]) / 2
        half = max(np.ptp(rows), np.ptp(columns)) / 2 + 0.5
        steps = (np.arange(24) + 0.5) / 12 - 1
        row, column = (np.clip((c + half * steps).astype(int), 0, 63) for c in centre)
        return mask[np.ix_(row, column)]

    a, b = boxed(one), boxed(other)
    return float((a & b).sum() / (a | b).sum())


def test_turning_brings_the_camera_to_the_front() -> None:
    for azimuth in (0.0, 77.0, 250.0):
        camera = orbit_c2w(azimuth, 0.0, 1.0)[0, :3, 3]
        np.testing.assert_allclose(turned_to_front(azimuth) @ camera, [0, 0, 1], atol=1e-6)
    assert azimuth_deg(5) != azimuth_deg(6)


def test_mirrored_and_recoloured_rows_change_alike(data: PointSet) -> None:
    rng = np.random.default_rng(0)
    before, after = (_pictures(data, np.arange(12), 50, np.random.default_rng(1)) for _ in range(2))
    _mirror(rng, *after)
    for row in range(12):
        turned = bool((after[0][row] != before[0][row]).any())
        torch.testing.assert_close(after[0][row], before[0][row].flip(-1) if turned else before[0][row])
        signs = torch.tensor([-1.0 if turned else 1.0, 1, 1, 1, 1, 1])[:, None]
        torch.testing.assert_close(after[1][row], before[1][row] * signs)
    _recolour(np.random.default_rng(0), *before)
    _, plain = _pictures(data, np.arange(12), 50, np.random.default_rng(1))
    torch.testing.assert_close(before[1][:, :3], plain[:, :3])
    torch.testing.assert_close(before[1][:, 3:].sum(1), plain[:, 3:].sum(1))
    assert (before[1] != plain).any()


def test_a_killed_build_goes_on_and_other_settings_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_data, "_TOYS_A_SHARD", 1)
    build_points(tmp_path, toys=1, split=Split.HELD_OUT)
    first = (tmp_path / "shard_00000.npz").read_bytes()
    build_points(tmp_path, toys=2, split=Split.HELD_OUT)
    assert (tmp_path / "shard_00000.npz").read_bytes() == first
    assert len(shards.load(tmp_path)["xyz"]) == 2
    with pytest.raises(ValueError, match="train"):
        build_points(tmp_path, toys=2, split=Split.TRAIN)


def test_steps_of_many_points_have_few_pictures(data: PointSet, grid: PictureGrid) -> None:
    task = PointCloudTask(data, data, grid, batch_size=16)
    shapes = {task.draw(np.random.default_rng(step)).clouds_BCN.shape for step in range(40)}
    assert {shape[2] for shape in shapes} == {64, 128, 256, point_data.POINTS}
    assert max(shape[0] * shape[2] for shape in shapes) == 16 * 64


def test_a_few_steps_teach_a_few_toys(
    data: PointSet, grid: PictureGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LAYERS": 2, "WIDTH": 32, "_JUDGED": 2, "_JUDGED_POINTS": 64}.items():
        monkeypatch.setattr(point_e, name, value)
    monkeypatch.setattr(point_e, "SAMPLER", KarrasConfig(steps=4))
    task = PointCloudTask(data, data, grid, batch_size=16)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=5e-3)
    losses: list[float] = []
    for step in range(40):
        loss, figures = task.loss(task.draw(np.random.default_rng(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(figures["error"]))
    assert np.mean(losses[-10:]) < 0.6 * losses[0]
    with torch.no_grad():
        judged: dict[str, Any] = task.validate()
        assert set(judged) == {"noise_error", "chamfer", "f_score"}
        assert judged["noise_error"] < 0.8
        assert task.sheet().ndim == 3


def test_closeness_is_nothing_for_the_same_cloud_and_grows_with_the_distance() -> None:
    cloud = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    assert closeness(cloud, cloud) == (0.0, 1.0)
    far, share = closeness(cloud, cloud + 5)
    assert far > 1
    assert share == 0
    # Half a cloud is precise, but does not recall the other half.
    assert 0 < closeness(cloud[:100], cloud)[1] < 1
