"""Masks before a backdrop of one colour: what hangs on the subject belongs to it, shadows and neighbours do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lift3d_ray.subject.backdrop import sharpen
from lift3d_ray.types import Bool, UInt8

SIDE = 128
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
DISC = (ROWS - 50) ** 2 + (COLUMNS - 64) ** 2 <= 25**2
HANDLE = (np.abs(COLUMNS - 64) <= 1) & (ROWS > 70) & (ROWS < 110)
NEIGHBOUR = (np.abs(COLUMNS - 110) <= 6) & (np.abs(ROWS - 60) <= 6)


def picture(*, handle_level: int = 40, backdrop: tuple[int, int, int] = (255, 255, 255)) -> UInt8:
    rgb = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    rgb[...] = backdrop
    rgb[HANDLE] = handle_level
    rgb[DISC] = (200, 30, 30)
    rgb[NEIGHBOUR] = (20, 120, 20)
    return rgb


@pytest.mark.parametrize("handle_level", [40, 235])
def test_a_thin_handle_left_out_is_taken_back_dark_or_pale(handle_level: int) -> None:
    whole = sharpen(DISC, picture(handle_level=handle_level))
    np.testing.assert_array_equal(whole, DISC | HANDLE)


def test_any_one_colour_is_a_backdrop() -> None:
    whole = sharpen(DISC, picture(backdrop=(30, 60, 200)))
    np.testing.assert_array_equal(whole, DISC | HANDLE)


def test_a_fringe_goes_and_a_hole_that_the_mask_has_stays() -> None:
    mask = ndimage.binary_dilation(DISC, iterations=1) & ~((ROWS - 50) ** 2 + (COLUMNS - 64) ** 2 <= 5**2)
    rgb = picture()
    rgb[(ROWS - 50) ** 2 + (COLUMNS - 64) ** 2 <= 5**2] = 255
    whole = sharpen(mask, rgb)
    assert not whole[50, 64]
    np.testing.assert_array_equal(whole & ~HANDLE, mask & DISC & ~HANDLE)


def test_a_white_middle_on_white_stays_the_subject_s() -> None:
    rgb = picture()
    middle = (ROWS - 50) ** 2 + (COLUMNS - 64) ** 2 <= 12**2
    rgb[middle] = 255
    assert sharpen(DISC, rgb)[middle].all()


def test_a_soft_shadow_is_left_out() -> None:
    bare = picture()
    bare[HANDLE] = 255
    depth = 90 * np.exp(-(((ROWS - 82) / 9.0) ** 2) - ((COLUMNS - 64) / 22.0) ** 2)
    rgb = np.where(DISC[..., None], bare, bare - depth[..., None]).clip(0, 255).astype(np.uint8)
    assert (np.abs(255 - rgb[85, 64].astype(int)) > 30).all(), "there is a shadow below the disc"
    assert not sharpen(DISC, rgb)[88:].any()


def test_a_rough_backdrop_is_none() -> None:
    rgb = picture()
    noise = np.random.default_rng(0).integers(-40, 40, rgb.shape)
    rough = (rgb.astype(np.int64) + noise).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(sharpen(DISC, rough), DISC)


def test_a_grainy_one_is_still_one() -> None:
    rgb = picture(backdrop=(240, 240, 240))
    noise = np.random.default_rng(0).integers(-2, 3, rgb.shape)
    grainy = (rgb.astype(np.int64) + noise).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(sharpen(DISC, grainy), DISC | HANDLE)


def test_nothing_found_stays_nothing() -> None:
    nothing: Bool = np.zeros((SIDE, SIDE), dtype=np.bool_)
    np.testing.assert_array_equal(sharpen(nothing, picture()), nothing)
