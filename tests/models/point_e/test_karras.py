"""Karras's sampler against denoisers whose answer is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.point_e.diffusion import PointDiffusion
from lift3d_ray.models.point_e.karras import Denoiser, KarrasConfig, denoiser_of, draw, noise_levels
from lift3d_ray.models.point_e.transformer import PointTransformer, PointTransformerConfig


def normal_data(mean: float, deviation: float) -> Denoiser:
    """The best denoiser of independent normal numbers."""
    kept = deviation**2

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return (kept * x + sigma**2 * mean) / (kept + sigma**2)

    return denoise


def noise(batch: int = 64) -> Tensor:
    return torch.randn(batch, 6, 50, generator=torch.Generator().manual_seed(0))


def test_levels_fall_from_the_highest_to_the_lowest_and_end_at_none() -> None:
    levels = noise_levels(KarrasConfig())
    assert len(levels) == 65
    assert levels[0] == pytest.approx(120)
    assert levels[-2] == pytest.approx(1e-3)
    assert levels[-1] == 0
    assert all(high > low for high, low in pairwise(levels))
    middle = (120 ** (1 / 7) + 32 / 63 * (1e-3 ** (1 / 7) - 120 ** (1 / 7))) ** 7
    assert levels[32] == pytest.approx(middle)


@pytest.mark.parametrize("churn", [0.0, 3.0])
def test_it_draws_from_the_distribution_whose_denoiser_it_is_given(churn: float) -> None:
    drawn = draw(normal_data(0.3, 0.2), noise(), KarrasConfig(churn=churn), torch.Generator().manual_seed(1))
    assert float(drawn.mean()) == pytest.approx(0.3, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.2, rel=0.04)


def test_heun_errs_less_with_more_steps() -> None:
    denoise = normal_data(0.0, 0.5)
    # The exact flow of normal data scales the first noise.
    exact = noise() * 120 * 0.5 / math.sqrt(0.5**2 + 120**2)
    errors = [
        float((draw(denoise, noise(), KarrasConfig(steps=n, churn=0.0), torch.Generator()) - exact).abs().mean())
        for n in (8, 16, 32)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_the_same_generator_gives_the_same_cloud_and_churn_makes_a_difference() -> None:
    def once(seed: int, churn: float = 3.0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw(normal_data(0.0, 0.5), noise(2), KarrasConfig(steps=6, churn=churn), generator)

    torch.testing.assert_close(once(1), once(1))
    assert (once(1) - once(2)).abs().max() > 1e-3
    torch.testing.assert_close(once(1, churn=0.0), once(2, churn=0.0))


def network() -> PointTransformer:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        built = PointTransformer(
            PointTransformerConfig(width=16, layers=1, heads=2, points=8, condition_width=10, condition_tokens=4)
        )
        torch.nn.init.normal_(built.output_proj.weight, std=0.5)
    return built.eval().requires_grad_(False)


def test_guidance_goes_on_from_no_condition_through_the_condition() -> None:
    x, tokens = noise(2)[..., :8], torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(3))

    def answer(scale: float) -> Tensor:
        denoise = denoiser_of(network(), PointDiffusion(), guidance_scale=scale, condition_BTD=tokens)
        return denoise(x, 0.7)

    untold, told = answer(0.0), answer(1.0)
    assert (told - untold).abs().max() > 1e-3
    torch.testing.assert_close(answer(3.0), untold + 3 * (told - untold), atol=1e-4, rtol=1e-4)
    assert max(untold.abs().max(), told.abs().max()) <= 1


def test_the_clean_guess_takes_the_predicted_noise_away() -> None:
    diffusion, x, sigma = PointDiffusion(), noise(2)[..., :8] * 0.2, 0.05
    tokens = torch.zeros(2, 4, 10)
    denoise = denoiser_of(network(), diffusion, guidance_scale=1.0, condition_BTD=tokens)
    timestep = torch.full((2,), diffusion.timestep(sigma))
    predicted = network()(x / math.sqrt(1 + sigma**2), timestep, tokens)[:, :6]
    torch.testing.assert_close(denoise(x, sigma), (x - sigma * predicted).clamp(-1, 1))


def test_nonsense_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="steps >= 2"):
        KarrasConfig(steps=1)
    with pytest.raises(ConfigError, match="sigma_min < sigma_max"):
        KarrasConfig(sigma_max=1e-4)
    with pytest.raises(ConfigError, match="guidance_scale"):
        KarrasConfig(guidance_scale=-1)
