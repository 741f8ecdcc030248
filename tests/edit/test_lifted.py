"""An asset's folder read back, and folders that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lift3d_ray.edit import read_lifted
from lift3d_ray.errors import InputError
from lift3d_ray.export.write import DEPTH, GLB, RESULT, SUBJECT, write_asset
from tests.edit.folders import asset_folder
from tests.export.assets import PROVENANCE, small_asset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return asset_folder(tmp_path / "ball")


def test_everything_that_an_edit_needs_comes_back(folder: Path) -> None:
    got, asset = read_lifted(folder, texture_px=64), small_asset()
    assert got.pose == asset.pose
    assert (got.name, got.perception.caption, got.selection) == ("ball", "a colourful ball", "auto")
    assert (got.photo["name"], got.photo["width_px"]) == (PROVENANCE.photo_name, 100)
    subject = asset.perception.subject
    np.testing.assert_array_equal(got.perception.subject.rgb_HWC, subject.rgb_HWC)
    np.testing.assert_allclose(got.perception.subject.alpha_HW, subject.alpha_HW, atol=0.5 / 255)
    assert got.perception.subject.crop == subject.crop
    np.testing.assert_allclose(got.perception.disparity_HW, asset.perception.disparity_HW, atol=1e-4)
    np.testing.assert_array_equal(got.surface.mesh.vertices_N3, asset.mesh.vertices_N3)
    assert got.perception.drawing_HWC is None


def test_the_drawing_of_an_asset_from_words_comes_back(tmp_path: Path) -> None:
    asset, drawing = small_asset(), np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    perception = replace(asset.perception, drawing_HWC=drawing)
    written = write_asset(replace(asset, perception=perception), tmp_path, PROVENANCE)
    got = read_lifted(written.folder, texture_px=64).perception.drawing_HWC
    assert got is not None
    np.testing.assert_array_equal(got, drawing)


def test_what_is_no_folder_of_an_asset_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="is no folder: wanted the folder of one asset"):
        read_lifted(folder / "nowhere", texture_px=64)
    with pytest.raises(InputError, match=r"holds no asset \(result.json is missing\).*; assets inside it: ball"):
        read_lifted(folder.parent, texture_px=64)
    run = folder.parent / "run"
    (run / "assets").mkdir(parents=True)
    folder.rename(run / "assets" / "ball")
    with pytest.raises(InputError, match="assets inside it: assets/ball"):
        read_lifted(run, texture_px=64)


def test_an_asset_of_an_earlier_version_is_refused_in_words(folder: Path) -> None:
    (folder / SUBJECT).unlink()
    with pytest.raises(InputError, match=r"has no subject\.png.*earlier version of lift3d-ray; lift the picture again"):
        read_lifted(folder, texture_px=64)


def without_pose(folder: Path) -> None:
    told = json.loads((folder / RESULT).read_text())
    del told["pose"]
    (folder / RESULT).write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / GLB).unlink(), r"asset\.glb cannot be read: No such file"),
        (lambda folder: (folder / GLB).write_bytes(b"no model"), r"asset\.glb is damaged"),
        (lambda folder: (folder / RESULT).write_text("{"), r"result\.json cannot be read"),
        (lambda folder: (folder / RESULT).write_text("[]"), r"result\.json holds no asset's facts"),
        (without_pose, r"result\.json lacks or garbles .*KeyError: 'pose'"),
        (lambda folder: (folder / SUBJECT).write_bytes(b"no picture"), r"subject\.png cannot be read"),
        (lambda folder: (folder / SUBJECT).write_bytes((folder / DEPTH).read_bytes()), "wanted 64 x 64 RGBA"),
        (lambda folder: (folder / DEPTH).write_bytes((folder / SUBJECT).read_bytes()), "wanted 64 x 64: lift"),
    ],
)
def test_damage_is_told_in_words(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=said):
        read_lifted(folder, texture_px=64)
