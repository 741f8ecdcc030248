from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lift3d_ray.toybox import build_scenes, caption, load_scenes, scene, scene_dataset


def small(path: Path, n: int = 5, seed: int = 1, workers: int = 1) -> None:
    build_scenes(path, n=n, size=16, seed=seed, per_shard=2, workers=workers)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_killed_build_resumes_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "whole")
    made: list[object] = []
    packed = scene_dataset._packed

    def dies(*args: object) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(args)
        return packed(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(scene_dataset, "_packed", dies)
        with pytest.raises(KeyboardInterrupt):
            small(tmp_path / "broken")
    assert [f.name for f in (tmp_path / "broken").glob("*.npz")] == ["shard_00000.npz"]
    before = (tmp_path / "broken" / "shard_00000.npz").stat().st_mtime_ns
    small(tmp_path / "broken")
    assert (tmp_path / "broken" / "shard_00000.npz").stat().st_mtime_ns == before
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_workers_do_not_change_the_shards(tmp_path: Path) -> None:
    small(tmp_path / "one")
    small(tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_other_settings_do_not_mix_into_a_folder(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(ValueError, match="asked for"):
        small(tmp_path, seed=2)


def test_scenes_can_be_loaded_and_made_again(tmp_path: Path) -> None:
    build_scenes(tmp_path, n=3, size=32, seed=4, per_shard=2)
    data = load_scenes(tmp_path)
    assert data.rgb.shape == (3, 32, 32, 3)
    again = scene(int(data.scene_seeds[2]), size=32)
    np.testing.assert_array_equal(again.rgb, data.rgb[2])
    np.testing.assert_array_equal(again.ids, data.ids[2])
    assert data.captions[2] == caption(again.obj)
    assert data.framing[2, 0] == np.float32(again.framing.focal_scale)
    assert len(set(data.scene_seeds.tolist())) == 3
    assert len(load_scenes(tmp_path, limit=2).captions) == 2


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no finished shard"):
        load_scenes(tmp_path)
