"""The noise of point clouds: published schedules, scales, and what the losses ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.point_e.diffusion import Betas, PointDiffusion

PUBLISHED = PointDiffusion()


def cloud(batch: int = 3) -> torch.Tensor:
    return torch.rand(batch, 6, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


def noise() -> torch.Tensor:
    return torch.randn(3, 6, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("betas", list(Betas))
def test_noise_rises_from_almost_none_to_almost_only(betas: Betas) -> None:
    diffusion = PointDiffusion(betas=betas)
    assert len(diffusion.betas_T) == 1024
    assert (np.diff(diffusion.sigmas_T) > 0).all()
    assert diffusion.sigmas_T[0] < 0.02
    assert diffusion.sigmas_T[-1] > 120


def test_the_cosine_is_the_published_one() -> None:
    steps = np.array([1, 100, 512, 1000])
    angle = (steps / 1024 + 0.008) / 1.008 * math.pi / 2
    wanted = np.cos(angle) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    np.testing.assert_allclose(PUBLISHED.signal_T[steps - 1], wanted, rtol=1e-9)


def test_the_linear_schedule_has_the_published_ends() -> None:
    betas = PointDiffusion(betas=Betas.LINEAR).betas_T
    np.testing.assert_allclose(betas[[0, -1]], [1e-4 * 1000 / 1024, 0.02 * 1000 / 1024])


def test_sigmas_find_their_timesteps_between_steps_too() -> None:
    assert PUBLISHED.timestep(float(PUBLISHED.sigmas_T[300])) == pytest.approx(300)
    between = float(PUBLISHED.sigmas_T[300:302].mean())
    assert 300 < PUBLISHED.timestep(between) < 301
    assert PUBLISHED.timestep(0.0) == 0
    assert PUBLISHED.timestep(1e9) == 1023


def test_published_scales_bring_data_near_one_and_back() -> None:
    data = torch.tensor([0.5, -0.5, 0.0, 0.0, 127.5, 255.0])[None, :, None]
    scaled = PUBLISHED.to_model(data)
    torch.testing.assert_close(scaled[0, :, 0], torch.tensor([1.0, -1.0, 0.0, -1.0, 0.0, 1.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(PUBLISHED.from_model(scaled), data, atol=1e-4, rtol=0)


def test_noised_clouds_keep_unit_power_shares() -> None:
    steps = torch.tensor([0, 500, 1023])
    noised = PUBLISHED.add_noise(cloud(), steps, noise())
    torch.testing.assert_close(noised[0], cloud()[0], atol=0.05, rtol=0)
    torch.testing.assert_close(noised[2], noise()[2], atol=0.01, rtol=0)
    signal = float(PUBLISHED.signal_T[500])
    torch.testing.assert_close(noised[1], math.sqrt(signal) * cloud()[1] + math.sqrt(1 - signal) * noise()[1])


def losses(noise_pred: torch.Tensor, share: float, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    noised = PUBLISHED.add_noise(cloud(), steps, noise())
    output = torch.cat([noise_pred, torch.full_like(noise_pred, share)], dim=1)
    return PUBLISHED.losses(output, cloud(), noised, steps, noise())


def test_the_true_noise_costs_nothing_with_the_lower_variance() -> None:
    error, bound = losses(noise(), -1.0, torch.tensor([5, 20, 60]))
    torch.testing.assert_close(error, torch.zeros(3))
    torch.testing.assert_close(bound, torch.zeros(3), atol=1e-4, rtol=0)
    assert (losses(noise(), 1.0, torch.tensor([5, 20, 60]))[1] > bound).all()


def test_the_bound_is_the_divergence_of_two_normal_distributions() -> None:
    step, wrong = 20, noise() + 0.1
    _, bound = losses(wrong, 0.5, torch.tensor([step] * 3))
    signal, before, beta = PUBLISHED.signal_T[step], PUBLISHED.signal_T[step - 1], PUBLISHED.betas_T[step]
    variance = beta * (1 - before) / (1 - signal)
    guessed = math.exp(0.25 * math.log(variance) + 0.75 * math.log(beta))
    off = math.sqrt(before) * beta / (1 - signal) * 0.1 * math.sqrt((1 - signal) / signal)
    truth = torch.distributions.Normal(0.0, math.sqrt(variance))
    guess = torch.distributions.Normal(off, math.sqrt(guessed))
    wanted = float(torch.distributions.kl_divergence(truth, guess)) / math.log(2)
    torch.testing.assert_close(bound, torch.full((3,), wanted), atol=1e-4, rtol=1e-3)


def test_the_bound_teaches_the_variance_alone() -> None:
    steps = torch.tensor([0, 400, 900])
    output = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(2)).requires_grad_(True)
    noised = PUBLISHED.add_noise(cloud(), steps, noise())
    _, bound = PUBLISHED.losses(output, cloud(), noised, steps, noise())
    bound.sum().backward()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
    assert not output.grad[:, :6].any()
    assert (output.grad[:, 6:].abs().amax((1, 2)) > 0).all()


def test_nonsense_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="timesteps"):
        PointDiffusion(timesteps=1)
    with pytest.raises(ConfigError, match="6 positive scales"):
        PointDiffusion(channel_scales=(1.0,) * 5)
