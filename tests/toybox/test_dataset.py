from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.toybox import (
    CLASS_IDS,
    Split,
    build_multiview,
    build_scenes,
    caption,
    describe,
    load_multiview,
    load_scenes,
    render,
    sample_object,
    scene,
)
from lift3d_ray.toybox import dataset as multiview


def small(path: Path, n: int = 5, seed: int = 1) -> None:
    build_multiview(path, n_objects=n, views_per_object=2, size=16, seed=seed, per_shard=2)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_killed_build_resumes_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "whole")
    made: list[object] = []
    one_toy = multiview._one_toy

    def dies(*args: object) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(args)
        return one_toy(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(multiview, "_one_toy", dies)
        with pytest.raises(KeyboardInterrupt):
            small(tmp_path / "broken")
    assert [f.name for f in (tmp_path / "broken").glob("*.npz")] == ["shard_00000.npz"]
    before = (tmp_path / "broken" / "shard_00000.npz").stat().st_mtime_ns
    small(tmp_path / "broken")
    assert (tmp_path / "broken" / "shard_00000.npz").stat().st_mtime_ns == before
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_workers_do_not_change_the_shards(tmp_path: Path) -> None:
    small(tmp_path / "one")
    build_multiview(tmp_path / "two", n_objects=5, views_per_object=2, size=16, seed=1, per_shard=2, workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_other_settings_do_not_mix_into_a_folder(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(ValueError, match="asked for"):
        small(tmp_path, seed=2)


def test_rows_can_be_made_again_from_their_seeds(tmp_path: Path) -> None:
    small(tmp_path)
    data = load_multiview(tmp_path)
    assert data.rgba.shape == (5, 2, 16, 16, 4)
    assert data.rgba.dtype == np.uint8
    assert data.depth.dtype == np.float16
    for row in range(5):
        toy = sample_object(int(data.object_seeds[row]), split=Split.TRAIN)
        shots = render(toy, orbit_c2w(data.azimuth_deg[row], data.elevation_deg[row]), size=16)
        np.testing.assert_array_equal(data.rgba[row, ..., :3], np.round(shots.rgb * 255))
        np.testing.assert_array_equal(data.depth[row], shots.depth.astype(np.float16))
        assert data.captions[row] == caption(toy) == describe(data.attributes[row])
        assert data.class_ids[row] == CLASS_IDS[toy.attributes.class_name]
    assert len(load_multiview(tmp_path, limit=3).captions) == 3


def test_toys_of_a_set_differ(tmp_path: Path) -> None:
    small(tmp_path, n=6)
    assert len(set(load_multiview(tmp_path).object_seeds.tolist())) == 6


def test_views_come_from_all_sides() -> None:
    azimuth, elevation = multiview.random_views(np.random.default_rng(0), 4000)
    assert azimuth.min() >= 0
    assert azimuth.max() < 360
    assert ((elevation >= -10) & (elevation <= 45)).mean() == pytest.approx(0.75, abs=0.03)
    assert (elevation > 45).mean() == pytest.approx(0.15, abs=0.03)
    assert elevation.min() >= -30


def test_scenes_can_be_built_loaded_and_made_again(tmp_path: Path) -> None:
    build_scenes(tmp_path, n=3, size=32, seed=4, per_shard=2)
    data = load_scenes(tmp_path)
    assert data.rgb.shape == (3, 32, 32, 3)
    again = scene(int(data.scene_seeds[2]), size=32)
    np.testing.assert_array_equal(again.rgb, data.rgb[2])
    np.testing.assert_array_equal(again.ids, data.ids[2])
    assert data.captions[2] == caption(again.obj)
    assert data.framing[2, 0] == np.float32(again.framing.focal_scale)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no finished shard"):
        load_multiview(tmp_path)
