"""The square around the subject: where it lies, how it looks, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift3d_ray.errors import ConfigError, NoSubject
from lift3d_ray.photo import read_photo
from lift3d_ray.subject import context_crop, crop_subject, cutout_mask, to_crop_px, to_photo_px
from lift3d_ray.types import Bool, CropMap, Float32, MaskProposal, Photo
from tests.bad_inputs import cutout, encode

RED, BLUE = (200, 30, 30), (20, 40, 220)


def disc(height: int, width: int, radius: float, x: float, y: float) -> Bool:
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    return np.asarray((columns[None] - x) ** 2 + (rows[:, None] - y) ** 2 <= radius**2)


def soft_disc(height: int, width: int, radius: float, x: float, y: float) -> Float32:
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    distance = np.hypot(columns[None] - x, rows[:, None] - y)
    return np.asarray(np.clip(radius - distance + 0.5, 0, 1), dtype=np.float32)


def ball(size: int, radius: float, x: float, y: float) -> tuple[Photo, MaskProposal]:
    """A red disc, blended at its rim into blue, and its mask."""
    soft = soft_disc(size, size, radius, x, y)[..., None]
    rgb = np.round(soft * np.array(RED) + (1 - soft) * np.array(BLUE)).astype(np.uint8)
    photo = Photo(rgb_HWC=rgb, alpha_HW=None, digest="0" * 64, name="ball.png")
    return photo, MaskProposal(mask_HW=disc(size, size, radius, x, y), score=0.7)


positions = st.floats(-5000, 5000)


@given(positions, positions, st.floats(1, 4000), st.integers(8, 1024), positions, positions)
@settings(max_examples=200, deadline=None)
def test_there_and_back(x0: float, y0: float, side: float, size: int, x: float, y: float) -> None:
    crop = CropMap(x0_px=x0, y0_px=y0, side_px=side, size_px=size)
    back = to_photo_px(crop, to_crop_px(crop, [[x, y]]))
    np.testing.assert_allclose(back, [[x, y]], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(to_photo_px(crop, (0, 0)), (x0, y0))
    np.testing.assert_allclose(to_photo_px(crop, (size, size)), (x0 + side, y0 + side))


@pytest.mark.parametrize(("size", "radius"), [(200, 20.0), (300, 60.0), (900, 300.0)])
def test_the_subject_is_centred_and_fills_its_part(size: int, radius: float) -> None:
    x, y = size * 0.55, size * 0.42
    photo, mask = ball(size, radius, x, y)
    subject = crop_subject(photo, mask, size=128, fill=0.8)
    np.testing.assert_allclose(to_crop_px(subject.crop, (x, y)), (64, 64), atol=64 / radius)
    assert subject.alpha_HW.sum() == pytest.approx(np.pi * (0.4 * 128) ** 2, rel=0.03)
    rows, columns = np.mgrid[:128, :128] + 0.5
    weight = subject.alpha_HW / subject.alpha_HW.sum()
    assert float((weight * columns).sum()) == pytest.approx(64, abs=0.5)
    assert float((weight * rows).sum()) == pytest.approx(64, abs=0.5)
    assert subject.score == 0.7
    assert subject.rgb_HWC.shape == (128, 128, 3)
    assert subject.rgb_HWC.dtype == np.uint8
    assert subject.alpha_HW.dtype == np.float32


@pytest.mark.parametrize(("size", "radius"), [(60, 9.0), (300, 60.0), (900, 300.0)])
def test_the_rim_is_smooth_and_round(size: int, radius: float) -> None:
    photo, mask = ball(size, radius, size / 2, size / 2)
    alpha = crop_subject(photo, mask, size=128).alpha_HW
    rows, columns = np.mgrid[:128, :128] + 0.5
    crossing = np.hypot(columns - 64, rows - 64)[(alpha > 0.3) & (alpha < 0.7)]
    assert len(crossing) > 40
    # A staircase of the photo's pixels would stray by half of one; the enlarged ones are 5.7 crop pixels wide.
    assert crossing.std() < 1.2
    assert (alpha == 1).sum() > 5000
    assert (alpha == 0).sum() > 5000


@pytest.mark.parametrize(("size", "radius"), [(60, 9.0), (300, 60.0), (900, 300.0)])
def test_no_background_shines_through_the_rim(size: int, radius: float) -> None:
    photo, mask = ball(size, radius, size / 2, size / 2)
    subject = crop_subject(photo, mask, size=128)
    rim = subject.rgb_HWC[subject.alpha_HW > 0.02].astype(int)
    assert np.abs(rim - RED).max() <= 12
    np.testing.assert_allclose(subject.rgb_HWC[0, 0], BLUE, atol=1)


def test_a_subject_at_the_edge_gets_the_edge_repeated_and_no_alpha_there() -> None:
    photo, mask = ball(200, 60, 20, 100)
    subject = crop_subject(photo, mask, size=128)
    outside = int(np.ceil(to_crop_px(subject.crop, (0, 0))[0]))
    assert subject.crop.x0_px < 0
    assert outside > 8
    assert subject.alpha_HW[:, : outside - 2].max() == 0
    assert subject.alpha_HW[64, outside + 2] == 1
    np.testing.assert_array_equal(subject.rgb_HWC[60, 0], subject.rgb_HWC[60, 3])


def test_holes_of_a_mask_stay_open_in_the_crop() -> None:
    photo, mask = ball(300, 100, 150, 150)
    ring = MaskProposal(mask_HW=mask.mask_HW & ~disc(300, 300, 40, 150, 150), score=0.9)
    alpha = crop_subject(photo, ring, size=128).alpha_HW
    assert alpha[64, 64] == 0
    assert alpha[64, 64 + 35] == 1


def test_a_cutout_keeps_its_softness() -> None:
    soft = soft_disc(300, 300, 80, 150, 150)
    blurred = np.clip((90 - np.hypot(*(np.mgrid[:300, :300] + 0.5 - 150))) / 10, 0, 1).astype(np.float32)
    for alpha, ramp_px in ((soft, 1), (blurred, 10)):
        photo = Photo(rgb_HWC=np.full((300, 300, 3), RED, np.uint8), alpha_HW=alpha, digest="", name="c.png")
        own = cutout_mask(photo)
        assert own is not None
        seen = crop_subject(photo, MaskProposal(mask_HW=own, score=1.0), size=256)
        scale = seen.crop.side_px / 256
        assert seen.alpha_HW.sum() * scale**2 == pytest.approx(alpha.sum(), rel=0.02)
        ramp = ((seen.alpha_HW > 0.05) & (seen.alpha_HW < 0.95)).sum() / (2 * np.pi * 80 / scale)
        assert 0.8 * ramp_px / scale < ramp < (ramp_px + 1) / scale


def test_a_cutout_at_half_opacity_becomes_solid_and_its_far_shadow_goes() -> None:
    alpha = 0.5 * soft_disc(300, 300, 80, 120, 120)
    alpha[230:260, 40:260] = 0.1
    photo = Photo(rgb_HWC=np.full((300, 300, 3), RED, np.uint8), alpha_HW=alpha, digest="", name="c.png")
    own = cutout_mask(photo)
    assert own is not None
    seen = crop_subject(photo, MaskProposal(mask_HW=own, score=1.0), size=128)
    assert seen.alpha_HW[64, 64] == 1
    assert seen.alpha_HW[-10:].max() == 0


def test_hidden_colours_of_a_cutout_do_not_show() -> None:
    photo = read_photo(encode(cutout(hidden=(0, 255, 0)), "PNG"), name="x")
    own = cutout_mask(photo)
    assert own is not None
    seen = crop_subject(photo, MaskProposal(mask_HW=own, score=1.0), size=256)
    visible = seen.rgb_HWC[seen.alpha_HW > 0.05].astype(int)
    assert not ((visible[:, 1] > 150) & (visible[:, 0] < 150)).any()


def test_a_selection_from_a_cutout_is_limited_by_both() -> None:
    alpha = soft_disc(200, 200, 80, 100, 100)
    photo = Photo(rgb_HWC=np.full((200, 200, 3), RED, np.uint8), alpha_HW=alpha, digest="", name="c.png")
    right = disc(200, 200, 90, 100, 100) & (np.arange(200) >= 100)
    seen = crop_subject(photo, MaskProposal(mask_HW=right, score=0.6), size=128)
    left, edge = to_crop_px(seen.crop, (95, 100)).astype(int), to_crop_px(seen.crop, (185, 100)).astype(int)
    assert seen.alpha_HW[left[1], left[0]] == 0
    assert seen.alpha_HW[edge[1], edge[0]] == 0
    assert seen.alpha_HW[64, 64] == 1


def test_context_shows_the_surroundings() -> None:
    photo, mask = ball(400, 40, 200, 200)
    seen = context_crop(photo, mask, size=180)
    assert seen.crop.side_px == pytest.approx(1.8 * 80)
    np.testing.assert_allclose(seen.rgb_HWC[2, 2], BLUE, atol=1)
    assert (seen.over(1.0)[2, 2] == 255).all()


def test_context_never_cuts_a_long_subject() -> None:
    mask = np.zeros((400, 400), bool)
    mask[195:205, 20:380] = True
    photo = Photo(rgb_HWC=np.zeros((400, 400, 3), np.uint8), alpha_HW=None, digest="", name="pen.png")
    assert context_crop(photo, MaskProposal(mask_HW=mask, score=1.0)).crop.side_px >= 358


def test_senseless_requests_are_refused() -> None:
    photo, mask = ball(100, 30, 50, 50)
    with pytest.raises(ConfigError, match="fill"):
        crop_subject(photo, mask, fill=1.2)
    with pytest.raises(ConfigError, match="at least 8"):
        crop_subject(photo, mask, size=4)
    with pytest.raises(ConfigError, match="scale"):
        context_crop(photo, mask, scale=0)
    with pytest.raises(NoSubject):
        crop_subject(photo, MaskProposal(mask_HW=np.zeros((100, 100), bool), score=1.0))
    with pytest.raises(ValueError, match="shape"):
        crop_subject(photo, MaskProposal(mask_HW=np.ones((10, 10), bool), score=1.0))
