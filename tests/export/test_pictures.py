from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.export.maps import depth_bytes, mask_bytes, png_bytes, uncrop
from lift3d_ray.export.preview import COLUMNS, ROWS, contact_sheet, mask_overlay
from lift3d_ray.types import CropMap
from tests.mesh.shapes import ball, flat, photographed


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_the_sheet_shows_the_photo_the_cut_out_and_six_views() -> None:
    mesh = ball(0.7, lambda xyz: np.where(xyz[:, 2:] > 0, np.array([0.9, 0.1, 0.1]), np.array([0.1, 0.1, 0.9])))
    subject = photographed(mesh, orbit_c2w(0, 0)[0], size=96)
    sheet = contact_sheet(mesh, subject, cell=40, elevation_deg=0)
    assert sheet.shape == (ROWS * 40, COLUMNS * 40, 3)
    middles = sheet[20::40, 20::40].astype(int)
    assert middles[0, 0] == pytest.approx([230, 26, 26], abs=3)
    assert middles[1, 0] == pytest.approx([230, 26, 26], abs=3)
    assert middles[0, 1] == pytest.approx([230, 26, 26], abs=3)
    assert middles[0, 4] == pytest.approx([26, 26, 230], abs=3)
    assert middles[1, 1:] == pytest.approx(np.tile([128, 128, 255], (6, 1)), abs=12)


def test_the_overlay_marks_what_is_left_out() -> None:
    rgb = np.full((2, 2, 3), 100, np.uint8)
    alpha = np.array([[1, 0], [1, 0]], np.float32)
    overlay = mask_overlay(rgb, alpha)
    assert (overlay[:, 0] == 100).all()
    assert overlay[0, 1, 0] > 150
    assert overlay[0, 1, 1] < 100


def test_a_crop_is_laid_back_where_it_was_taken() -> None:
    crop = CropMap(x0_px=30.0, y0_px=10.0, side_px=40.0, size_px=80)
    alpha = np.zeros((80, 80), np.float32)
    alpha[20:60, 30:50] = 1
    laid = uncrop(alpha, crop, 60, 100)
    assert laid.shape == (60, 100)
    rows, columns = (laid > 127).nonzero()
    assert (rows.min(), rows.max() + 1) == (20, 40)
    assert (columns.min(), columns.max() + 1) == (45, 55)


def test_a_crop_that_reaches_outside_is_cut_at_the_border_and_not_smeared() -> None:
    crop = CropMap(x0_px=-20.0, y0_px=-10.0, side_px=50.0, size_px=50)
    laid = uncrop(np.ones((50, 50), np.float32), crop, 60, 100)
    assert (laid[:40, :30] == 255).all()
    assert laid[41:].max() == 0
    assert laid[:, 31:].max() == 0


def test_masks_and_depths_are_files_of_their_kind() -> None:
    mesh = ball(0.7, flat(1, 0, 0), resolution=20)
    subject = photographed(mesh, orbit_c2w(0, 0)[0], size=64)
    mask = opened(mask_bytes(subject, 48, 64))
    assert (mask.mode, mask.size) == ("L", (64, 48))
    disparity = np.zeros((64, 64), np.float32)
    disparity[3, 4], disparity[5, 6] = 1.0, 0.25
    depth = np.asarray(opened(depth_bytes(disparity)))
    assert depth.dtype == np.uint16
    assert (depth[3, 4], depth[5, 6], depth[0, 0]) == (65535, 16384, 0)
    with pytest.raises(ConfigError, match="sides of 1 pixel"):
        mask_bytes(subject, 0, 64)


def test_pngs_hold_the_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    assert np.array_equal(np.asarray(opened(png_bytes(picture))), picture)
