"""Score distillation as values: the estimate is exact where the answer is known, and its gradient is the paper's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lift3d_ray.errors import PriorError
from lift3d_ray.guidance.ddim import sample_ddim
from lift3d_ray.guidance.sds import NovelViews, ask_prior, chained_loss, draw_timesteps, image_loss, latent_loss
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.recipes import Conditioning, GuidanceTerm
from lift3d_ray.types import Float32, NoisePrediction, NoiseQuery, ViewReference

SCHEDULE = NoiseSchedule(
    alphas_cumprod_T=np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).astype(np.float32),
    prediction_type="epsilon",
)
SHAPE = (2, 3, 4, 4)


class PointPrior:
    """Believes that the clean latents are one known thing, a different one for views than for words."""

    def __init__(self, by_text: Float32, by_view: Float32) -> None:
        self._text, self._view = by_text, by_view

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """The noise that would lead from the belief to the query."""
        clean = self._text if query.view is None else self._view
        signal, sigma = SCHEDULE.signal(query.timesteps_B), SCHEDULE.noise(query.timesteps_B)
        noise = np.asarray((query.noisy_latents_BCHW - signal * clean) / sigma, dtype=np.float32)
        return NoisePrediction(noise_BCHW=noise, batch_size=len(noise), seconds=0.25)


class BrokenPrior:
    """Answers with values that are not finite."""

    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """Not a number."""
        return NoisePrediction(noise_BCHW=np.full_like(query.noisy_latents_BCHW, np.nan))


def _views() -> NovelViews:
    return NovelViews(
        prompts=("a", "b"),
        negative_prompts=("", ""),
        azimuth_deg_B=np.array([0, 90], dtype=np.float32),
        elevation_deg_B=np.array([0, 10], dtype=np.float32),
        reference=ViewReference(latents_CHW=np.zeros(SHAPE[1:], dtype=np.float32)),
    )


def _ask(prior: PointPrior | BrokenPrior, *terms: GuidanceTerm) -> Float32:
    rng = np.random.default_rng(0)
    return ask_prior(
        rng.standard_normal(SHAPE, dtype=np.float32),
        _views(),
        terms,
        prior,
        SCHEDULE,
        timesteps_B=np.array([300, 700], dtype=np.int64),
        noise_BCHW=rng.standard_normal(SHAPE, dtype=np.float32),
    ).latents_BCHW


@pytest.fixture
def beliefs() -> tuple[Float32, Float32]:
    rng = np.random.default_rng(1)
    return rng.standard_normal(SHAPE, dtype=np.float32), rng.standard_normal(SHAPE, dtype=np.float32)


def test_clean_estimate_is_the_priors_belief(beliefs: tuple[Float32, Float32]) -> None:
    estimate = _ask(PointPrior(*beliefs), GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0))
    np.testing.assert_allclose(estimate, beliefs[0], atol=1e-4)


def test_terms_are_mixed_by_their_weights(beliefs: tuple[Float32, Float32]) -> None:
    estimate = _ask(
        PointPrior(*beliefs),
        GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0, weight=3.0),
        GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0, weight=1.0),
    )
    np.testing.assert_allclose(estimate, 0.75 * beliefs[0] + 0.25 * beliefs[1], atol=1e-4)


def test_an_answer_that_is_not_finite_is_refused() -> None:
    with pytest.raises(PriorError, match="not finite"):
        _ask(BrokenPrior(), GuidanceTerm(conditioning=Conditioning.TEXT, scale=1.0))


def test_latent_loss_pulls_like_score_distillation() -> None:
    """grad of mean ||z - x0||^2 with x0 = (z_t - sigma eps_hat) / alpha is 2 sigma / alpha (eps_hat - eps) / n."""
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(SHAPE, generator=rng, dtype=torch.float64, requires_grad=True)
    noise, predicted = torch.randn(SHAPE, generator=rng), torch.randn(SHAPE, generator=rng)
    alpha, sigma = 0.6, 0.8
    estimate = (alpha * latents.detach() + sigma * noise - sigma * predicted) / alpha
    latent_loss(latents, estimate).backward()
    expected = 2 * sigma / alpha * (predicted - noise) / latents.numel()
    assert latents.grad is not None
    torch.testing.assert_close(latents.grad, expected.double())
    assert latents.grad.abs().max() > 0


def test_chained_loss_pulls_like_score_jacobian_chaining() -> None:
    """Its gradient at a latent is -(D - y) / sigma, over their number."""
    rng = torch.Generator().manual_seed(0)
    latents, estimate = torch.randn(2, *SHAPE, generator=rng, dtype=torch.float64)
    sigma = torch.tensor([0.3, 4.0], dtype=torch.float64)
    latents.requires_grad_()
    estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: chained_loss(y, estimate, sigma), (latents,))
    chained_loss(latents, estimate, sigma).backward()
    assert estimate.grad is None
    assert latents.grad is not None
    expected = -(estimate - latents).detach() / sigma.view(-1, 1, 1, 1) / latents.numel()
    torch.testing.assert_close(latents.grad, expected)
    assert float(latents.grad.abs().max()) > 0


def test_image_loss_has_no_gradient_to_the_estimate() -> None:
    render = torch.full((1, 3, 2, 2), 0.4, requires_grad=True)
    target = torch.full((1, 3, 2, 2), 0.6, requires_grad=True)
    image_loss(render, target).backward()
    assert target.grad is None
    assert render.grad is not None
    assert bool((render.grad < 0).all())


def test_timesteps_stay_within_their_range_and_follow_the_seed() -> None:
    first = draw_timesteps(SCHEDULE, 0.2, 0.4, 64, torch.Generator().manual_seed(3))
    again = draw_timesteps(SCHEDULE, 0.2, 0.4, 64, torch.Generator().manual_seed(3))
    assert first.min() >= 200
    assert first.max() <= 400
    np.testing.assert_array_equal(first, again)


def test_sampling_ends_at_the_belief(beliefs: tuple[Float32, Float32]) -> None:
    query = NoiseQuery(
        noisy_latents_BCHW=np.random.default_rng(2).standard_normal(SHAPE, dtype=np.float32),
        timesteps_B=np.zeros(2, dtype=np.int64),
        guidance_scale=1.0,
        prompts=("", ""),
        negative_prompts=("", ""),
    )
    clean = sample_ddim(PointPrior(*beliefs), SCHEDULE, query, steps=5)
    np.testing.assert_allclose(clean, beliefs[0], atol=1e-4)
    assert not np.allclose(clean, sample_ddim(PointPrior(beliefs[1], beliefs[0]), SCHEDULE, query, steps=5))


def test_a_query_with_rows_missing_is_refused() -> None:
    query = NoiseQuery(
        noisy_latents_BCHW=np.zeros(SHAPE, dtype=np.float32),
        timesteps_B=np.zeros(2, dtype=np.int64),
        guidance_scale=1.0,
        prompts=("", ""),
        negative_prompts=("", ""),
    )
    with pytest.raises(ValueError, match="2 rows"):
        replace(query, prompts=("",))
