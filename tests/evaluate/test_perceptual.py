"""The LPIPS-like distance: nothing apart is 0, what differs more is farther, and it does without its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

import lift3d_ray.evaluate.perceptual as perceptual
from lift3d_ray.evaluate import make_exam, score_views
from lift3d_ray.evaluate.perceptual import WEIGHTS, PerceptualDistance, find_perceptual
from lift3d_ray.evaluate.scores import Eyes
from lift3d_ray.types import Float32, UInt8

CHANNELS = (64, 192, 384, 256, 256)
SIDES = (11, 5, 3, 3, 3)
NAMES = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")


def random_weights() -> dict[str, torch.Tensor]:
    """A trunk of the published shapes."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        "scaling_layer.shift": torch.tensor([-0.03, -0.09, -0.19])[None, :, None, None],
        "scaling_layer.scale": torch.full((1, 3, 1, 1), 0.45),
    }
    for k, (before, after, side) in enumerate(zip((3, *CHANNELS), CHANNELS, SIDES, strict=False)):
        spread = (2 / (before * side**2)) ** 0.5
        weights[f"net.{NAMES[k]}.weight"] = spread * torch.randn(after, before, side, side, generator=generator)
        weights[f"net.{NAMES[k]}.bias"] = torch.zeros(after)
        weights[f"lin{k}.model.1.weight"] = torch.rand(1, after, 1, 1, generator=generator)
    return weights


def pictures(count: int = 2) -> Float32:
    return np.random.default_rng(0).random((count, 64, 64, 3), dtype=np.float32)


def test_the_same_is_at_no_distance_and_more_noise_is_farther() -> None:
    distance = PerceptualDistance(random_weights())
    plain = pictures()
    noise = np.random.default_rng(1).normal(size=plain.shape).astype(np.float32)
    far, near = (distance(plain, (plain + amount * noise).clip(0, 1)) for amount in (0.3, 0.05))
    assert np.array_equal(distance(plain, plain), np.zeros(2, np.float32))
    assert (near > 0).all()
    assert (far > 2 * near).all()
    np.testing.assert_allclose(distance(plain, plain[::-1]), distance(plain[::-1], plain), rtol=1e-4)


def test_a_shift_by_a_pixel_is_less_than_another_picture() -> None:
    distance = PerceptualDistance(random_weights())
    smooth = np.asarray(uniform_filter(pictures(), (0, 9, 9, 0)), dtype=np.float32)
    assert (distance(smooth, np.roll(smooth, 1, axis=2)) < 0.5 * distance(smooth, smooth[::-1])).all()


def test_weights_are_found_where_the_package_lies_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "PACKAGE", "some_package_of_weights")
    assert find_perceptual() is None
    folder = tmp_path / "some_package_of_weights"
    (folder / WEIGHTS).parent.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('its code is not run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_perceptual() is None
    torch.save(random_weights(), folder / WEIGHTS)
    found = find_perceptual()
    assert found is not None
    assert found(pictures(), pictures()[::-1]).shape == (2,)


class Averages:
    """A CLIP whose vector of a picture is its mean colour."""

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        mean = images_BHWC.astype(np.float32).mean((1, 2))
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)

    def encode_texts(self, texts: object) -> Float32:
        raise AssertionError(texts)


def test_networks_compare_views_with_the_truth_from_the_same_side() -> None:
    exam = make_exam(0)
    plain = score_views(exam.rgb_VSSC, exam.alpha_VSS, exam)
    eyes = Eyes(clip=Averages(), perceptual=PerceptualDistance(random_weights()))
    same = eyes.compared(plain, exam.rgb_VSSC, exam)
    other = eyes.compared(plain, np.roll(exam.rgb_VSSC, 5, axis=0), exam)
    assert same.clip == pytest.approx(1.0, abs=1e-5)
    assert same.lpips == 0.0
    assert other.lpips > 0
    assert other.clip < same.clip
    assert np.isnan(Eyes(clip=Averages()).compared(plain, exam.rgb_VSSC, exam).lpips)
