from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.analytic import (
    AnalyticPrior,
    ColorCaptioner,
    ColorSegmenter,
    DigestEncoder,
    DomeDepth,
    scaled_linear_alphas_cumprod,
)
from lift3d_ray.types import NoiseQuery, SegmentQuery, ViewConditioning

MEAN = np.random.default_rng(0).standard_normal((4, 2, 2)).astype(np.float32)


def ask(prior: AnalyticPrior, noisy: np.ndarray, t: int, *, scale: float = 1.0, prompt: str = "") -> np.ndarray:
    query = NoiseQuery(
        noisy_latents_BCHW=noisy.astype(np.float32),
        timesteps_B=np.full(len(noisy), t),
        guidance_scale=scale,
        prompts=(prompt,) * len(noisy),
        negative_prompts=("",) * len(noisy),
    )
    return prior.predict_noise(query).noise_BCHW


def test_the_schedule_is_that_of_stable_diffusion() -> None:
    signal = scaled_linear_alphas_cumprod()
    assert signal.shape == (1000,)
    assert signal[0] == pytest.approx(0.99915, abs=1e-5)
    assert signal[-1] == pytest.approx(0.00466, abs=1e-5)


@pytest.mark.parametrize("t", [0, 10, 500, 999])
def test_a_point_mass_gives_back_the_noise_that_was_added(t: int) -> None:
    signal = scaled_linear_alphas_cumprod()[t]
    noise = np.random.default_rng(1).standard_normal((3, 4, 2, 2))
    noisy = np.sqrt(signal) * MEAN + np.sqrt(1 - signal) * noise
    # At t = 0 the noise is 3 % of what is seen, and float32 keeps 7 digits of that.
    np.testing.assert_allclose(ask(AnalyticPrior(MEAN), noisy, t), noise, atol=1e-4)


def test_the_answer_is_the_best_guess_of_the_noise() -> None:
    """Among all linear guesses the posterior mean has the least error, on samples of its own Gaussian."""
    rng, t, spread = np.random.default_rng(2), 300, 0.7
    signal = scaled_linear_alphas_cumprod()[t]
    data = MEAN + spread * rng.standard_normal((4000, 4, 2, 2))
    noise = rng.standard_normal(data.shape)
    noisy = np.sqrt(signal) * data + np.sqrt(1 - signal) * noise
    guess = ask(AnalyticPrior(MEAN, spread=spread), noisy, t)
    error = np.mean((guess - noise) ** 2)
    for factor in (0.95, 1.05):
        assert np.mean((factor * guess - noise) ** 2) > error
    assert np.mean(guess - noise) == pytest.approx(0, abs=0.02)


def test_guidance_goes_from_the_broad_belief_towards_the_narrow_one() -> None:
    prior, noisy = AnalyticPrior(MEAN), np.ones((1, 4, 2, 2))
    answers = [ask(prior, noisy, 400, scale=scale) for scale in (0.0, 1.0, 3.0)]
    np.testing.assert_allclose(answers[0], np.sqrt(1 - scaled_linear_alphas_cumprod()[400]) * noisy, rtol=1e-5)
    np.testing.assert_allclose(answers[2], answers[0] + 3 * (answers[1] - answers[0]), rtol=1e-3, atol=1e-4)


def test_prompts_may_have_means_of_their_own() -> None:
    prior, noisy = AnalyticPrior(MEAN, means_by_prompt={"dog": -MEAN}), np.ones((1, 4, 2, 2))
    assert not np.allclose(ask(prior, noisy, 400, prompt="dog"), ask(prior, noisy, 400, prompt="cat"))


def test_a_view_query_believes_its_own_reference() -> None:
    reference = np.full((1, 4, 2, 2), 0.5, np.float32)
    signal = scaled_linear_alphas_cumprod()[200]
    noise = np.ones((1, 4, 2, 2))
    query = NoiseQuery(
        noisy_latents_BCHW=(np.sqrt(signal) * reference + np.sqrt(1 - signal) * noise).astype(np.float32),
        timesteps_B=np.array([200]),
        guidance_scale=1.0,
        prompts=("",),
        negative_prompts=("",),
        view=ViewConditioning(
            reference_latents_BCHW=reference,
            azimuth_deg_B=np.zeros(1, np.float32),
            elevation_deg_B=np.zeros(1, np.float32),
        ),
    )
    np.testing.assert_allclose(AnalyticPrior(MEAN).predict_noise(query).noise_BCHW, noise, atol=1e-4)


def test_wrong_queries_and_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes latents \(B, 4, 2, 2\), got \(1, 4, 3, 3\)"):
        ask(AnalyticPrior(MEAN), np.zeros((1, 4, 3, 3)), 5)
    with pytest.raises(ValueError, match=r"timesteps must lie in \[0, 1000\), got \[1000\]"):
        ask(AnalyticPrior(MEAN), np.zeros((1, 4, 2, 2)), 1000)
    with pytest.raises(ConfigError):
        AnalyticPrior(MEAN, spread=-1)


def test_the_other_roles_answer_in_the_right_shapes() -> None:
    picture = np.full((20, 30, 3), 250, np.uint8)
    assert ColorSegmenter().segment(SegmentQuery(rgb_HWC=picture)) == []
    picture[5:15, 10:20] = (200, 10, 10)
    (proposal,) = ColorSegmenter().segment(SegmentQuery(rgb_HWC=picture))
    assert proposal.mask_HW.sum() == 100
    assert ColorCaptioner().caption(picture) == "a red thing"
    disparity = DomeDepth().estimate_disparity(picture)
    assert disparity.shape == (20, 30)
    assert disparity.argmax() in (9 * 30 + 14, 9 * 30 + 15, 10 * 30 + 14, 10 * 30 + 15)
    vectors = DigestEncoder().encode_texts(["a", "b", "a"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (vectors[0] == vectors[2]).all()
    assert DigestEncoder().encode_images(np.stack([picture, picture])).shape == vectors[:2].shape
