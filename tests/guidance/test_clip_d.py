"""CLIP's losses: that the gradient passes the prior, the codec and the encoder down to density and colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.render import render_rays
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance.clip_d import (
    Likeness,
    PictureEncoder,
    clean_latents,
    clip_distance,
    facing,
    judged_by_clip,
    likeness,
)
from lift3d_ray.models.clip import load_clip
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.toybox.training.codec import new_autoencoder
from tests.fields import against_finite_differences
from tests.models.small_clip import write_untrained_clip

SIDE = 16
AZIMUTHS = np.array([20.0, -120.0], dtype=np.float32)


class SumsAndSlopes:
    """A small encoder in double precision: what is in the picture, and where."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._weights = torch.randn(3 * SIDE**2, 7, generator=generator, dtype=torch.float64)

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        return torch.nn.functional.normalize((images_B3HW - 0.5).flatten(1) @ self._weights, dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.nn.functional.normalize(self._weights[[len(text) for text in texts]], dim=-1)


def ball(resolution: int = 8) -> VoxelField:
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    raw = 2 * (0.6 - xyz.norm(dim=-1, keepdim=True))
    return VoxelField(torch.cat([raw, 2 * xyz.square() - 0.5], dim=-1).reshape(-1, 4))


def pictures(field: VoxelField) -> Tensor:
    origins, directions = pixel_rays(orbit_c2w(AZIMUTHS, 15.0), SIDE)
    rays = [torch.from_numpy(v).reshape(-1, 3).double() for v in (origins, directions)]
    out = render_rays(field, *rays, n_samples=16, sharpness=4.0, background=torch.ones(3, dtype=torch.float64))
    return out.rgb_N3.reshape(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return LatentCodec(new_autoencoder(width=16, encoder_blocks=1, decoder_blocks=1).double(), image_size=SIDE)


@pytest.fixture(scope="module")
def target() -> Likeness:
    picture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return likeness(SumsAndSlopes(), picture, "a red mug")


def _weights() -> Tensor:
    return torch.from_numpy(facing(AZIMUTHS))


def of_the_render(codec: LatentCodec, target: Likeness, field: VoxelField) -> Tensor:
    return clip_distance(target.encoder.embed_images(pictures(field)), target.picture_D, _weights())


def of_the_render_to_words(codec: LatentCodec, target: Likeness, field: VoxelField) -> Tensor:
    return clip_distance(target.encoder.embed_images(pictures(field)), target.words_D, _weights())


def of_the_clean_estimate(codec: LatentCodec, target: Likeness, field: VoxelField) -> Tensor:
    """What the prior took away is a constant, as it is in ``clean_latents``: x0 = z + constant."""
    latents = codec.encode(pictures(field))
    taken_away = 0.1 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    clean = clean_latents(latents, latents.detach() + taken_away)
    return clip_distance(target.encoder.embed_images(codec.decode(clean)), target.picture_D, _weights())


@pytest.mark.parametrize("loss", [of_the_render, of_the_render_to_words, of_the_clean_estimate])
def test_density_and_colour_learn_from_clip_as_finite_differences_say(
    loss: Callable[[LatentCodec, Likeness, VoxelField], Tensor], codec: LatentCodec, target: Likeness
) -> None:
    gradient = against_finite_differences(lambda field: loss(codec, target, field), ball(), rows=3)
    assert float(gradient[:, 0].abs().max()) > 1e-6
    assert float(gradient[:, 1:].abs().max()) > 1e-6


def test_the_clean_estimate_has_its_value_and_the_gradient_of_the_latents() -> None:
    latents = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    estimate = torch.full((1, 4, 2, 2), 0.25)
    clean = clean_latents(latents, estimate)
    torch.testing.assert_close(clean.detach(), estimate)
    (clean * torch.arange(16.0).view(1, 4, 2, 2)).sum().backward()
    assert latents.grad is not None
    torch.testing.assert_close(latents.grad.flatten(), torch.arange(16.0))


def test_the_embedded_encoder_s_gradient_is_the_finite_difference(tmp_path: Path) -> None:
    write_untrained_clip(tmp_path)
    encoder: PictureEncoder = load_clip(tmp_path, dtype=torch.float64)
    drawn = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    known = likeness(encoder, drawn[0], "a red mug")
    picture, step = drawn[1:].clone().requires_grad_(), torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    step[0, 1, 4:9, 5] = 1e-5

    def loss(image: Tensor) -> Tensor:
        return clip_distance(encoder.embed_images(image), known.picture_D, torch.ones(1))

    (gradient,) = torch.autograd.grad(loss(picture), picture)
    measured = (loss(picture.detach() + step) - loss(picture.detach() - step)).item() / 2e-5
    assert measured == pytest.approx((gradient * step).sum().item() / 1e-5, rel=1e-3)
    assert abs(measured) > 1e-6


def test_a_view_like_the_photo_costs_nothing_and_turned_views_count_less() -> None:
    wanted = torch.tensor([1.0, 0.0])
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert clip_distance(vectors[:1], wanted, torch.ones(1)).item() == 0.0
    assert clip_distance(vectors, wanted, torch.tensor([1.0, 0.5])).item() == pytest.approx(0.25)
    np.testing.assert_allclose(facing(np.array([0, 90, -90, 180, 270, 360], np.float32)), [1, 0.5, 0.5, 0, 0.5, 1])


def test_clip_judges_small_timesteps_and_no_backs() -> None:
    timesteps = np.array([100, 399, 400, 100, 100])
    azimuths = np.array([0.0, 100.0, 0.0, 170.0, 250.0], dtype=np.float32)
    assert judged_by_clip(timesteps, azimuths, 400).tolist() == [True, True, False, False, True]
