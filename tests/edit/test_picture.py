"""Edited pictures, framed as the crop or as the whole photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lift3d_ray.edit import LiftedAsset, edited_subject, read_lifted
from lift3d_ray.errors import InputError
from lift3d_ray.types import CropMap, Float32, Photo, UInt8
from tests.edit.folders import asset_folder

SIZE = 64


@pytest.fixture(scope="module")
def lifted(tmp_path_factory: pytest.TempPathFactory) -> LiftedAsset:
    """A ball whose crop of 64 pixels is a square of 32 pixels in a photo of 100 x 80."""
    got = read_lifted(asset_folder(tmp_path_factory.mktemp("edit") / "ball"), texture_px=64)
    crop = CropMap(x0_px=40.0, y0_px=20.0, side_px=32.0, size_px=SIZE)
    subject = replace(got.perception.subject, crop=crop)
    return replace(got, perception=replace(got.perception, subject=subject))


def photo(rgb_HWC: UInt8, alpha_HW: Float32 | None = None) -> Photo:
    return Photo(rgb_HWC=rgb_HWC, alpha_HW=alpha_HW, digest="", name="edited.png")


def recoloured(lifted: LiftedAsset) -> UInt8:
    """The crop with its channels exchanged."""
    return np.ascontiguousarray(lifted.perception.subject.rgb_HWC[..., ::-1])


def enlarged(rgb_HWC: UInt8, side: int) -> UInt8:
    return np.asarray(Image.fromarray(rgb_HWC).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("side", [SIZE, 3 * SIZE])
def test_a_square_picture_is_the_crop_at_any_size(lifted: LiftedAsset, side: int) -> None:
    wanted = recoloured(lifted)
    subject, framing = edited_subject(photo(enlarged(wanted, side)), lifted)
    assert framing == "crop"
    assert subject.rgb_HWC.shape == (SIZE, SIZE, 3)
    assert np.abs(subject.rgb_HWC.astype(int) - wanted).mean() < 4
    np.testing.assert_array_equal(subject.alpha_HW, lifted.perception.subject.alpha_HW)


def in_photo(lifted: LiftedAsset, height: int, width: int) -> UInt8:
    whole = np.zeros((height, width, 3), np.uint8)
    whole[20:52, 40:72] = enlarged(recoloured(lifted), 32)
    return whole


def test_a_picture_of_the_photos_size_is_cut_as_the_photo_was(lifted: LiftedAsset) -> None:
    subject, framing = edited_subject(photo(in_photo(lifted, 80, 100)), lifted)
    assert framing == "photo"
    assert np.abs(subject.rgb_HWC.astype(int) - recoloured(lifted)).mean() < 12


def test_where_a_square_may_be_either_its_edges_tell(lifted: LiftedAsset) -> None:
    square = replace(lifted, photo={**lifted.photo, "height_px": 100, "width_px": 100})
    assert edited_subject(photo(in_photo(lifted, 100, 100)), square)[1] == "photo"
    assert edited_subject(photo(enlarged(recoloured(lifted), 100)), square)[1] == "crop"


def test_what_is_transparent_says_nothing(lifted: LiftedAsset) -> None:
    alpha = np.ones((SIZE, SIZE), np.float32)
    alpha[:, : SIZE // 2] = 0
    rgb = recoloured(lifted)
    rgb[:, : SIZE // 2] = (255, 0, 255)
    subject, _ = edited_subject(photo(rgb, alpha), lifted)
    assert subject.alpha_HW[:, : SIZE // 2].max() == 0
    np.testing.assert_array_equal(subject.alpha_HW[:, SIZE // 2 :], lifted.perception.subject.alpha_HW[:, SIZE // 2 :])


def test_another_size_and_too_little_of_the_subject_are_refused(lifted: LiftedAsset) -> None:
    said = r"has 90 x 80 pixels: wanted a square .*64 x 64.* the photo's size \(100 x 80\)"
    with pytest.raises(InputError, match=said):
        edited_subject(photo(np.zeros((80, 90, 3), np.uint8)), lifted)
    with pytest.raises(InputError, match=r"shows 0 % of the subject.*wanted 20 % or more"):
        edited_subject(photo(recoloured(lifted), np.full((SIZE, SIZE), 0.1, np.float32)), lifted)
