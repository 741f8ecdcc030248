"""The diffusion prior over tiny official classes with random weights."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models.diffusion import DiffusionPrior, load_prior
from lift3d_ray.models.latents import LatentCodec, load_codec
from lift3d_ray.models.memory import PeakMeter, weight_bytes
from lift3d_ray.models.roles import WordTeacher
from lift3d_ray.models.schedule import load_schedule
from lift3d_ray.models.text_embedder import TextEmbedder
from lift3d_ray.toybox import VOCABULARY
from lift3d_ray.toybox.training.codec import LATENT_CHANNELS, new_autoencoder
from lift3d_ray.toybox.training.priors import (
    new_controlnet,
    new_scheduler,
    new_text_encoder,
    new_text_unet,
    new_view_unet,
)
from lift3d_ray.toybox.training.tokenizers import write_clip_tokenizer
from lift3d_ray.types import DenoisingQuery, LearnedToken, NoiseQuery, PromptBlend, ViewConditioning

SIDE = 8
IMAGE_WIDTH = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("bundle")
    write_clip_tokenizer(root / "tokenizer", VOCABULARY)
    tokenizer = CLIPTokenizer.from_pretrained(str(root / "tokenizer"), local_files_only=True)
    unet = new_text_unet()
    controlnet = new_controlnet(unet)
    with torch.no_grad():
        for parameter in controlnet.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    for name, model in (
        ("unet", unet),
        ("view_unet", new_view_unet(IMAGE_WIDTH)),
        ("blind_view_unet", new_view_unet()),
        ("controlnet", controlnet),
        ("text_encoder", new_text_encoder(tokenizer)),
        ("vae", new_autoencoder(width=16, encoder_blocks=1, decoder_blocks=1)),
    ):
        model.save_pretrained(str(root / name), safe_serialization=True)
    new_scheduler().save_pretrained(str(root / "scheduler"))
    return root


@pytest.fixture(scope="module")
def prior(folder: Path) -> DiffusionPrior:
    return load_prior(
        unet=folder / "unet",
        text_encoder=folder / "text_encoder",
        tokenizer=folder / "tokenizer",
        scheduler=folder / "scheduler",
        view_unet=folder / "view_unet",
        controlnet=folder / "controlnet",
    )


def _query(seed: int = 0, batch: int = 2, scale: float = 2.0) -> NoiseQuery:
    rng = np.random.default_rng(seed)
    return NoiseQuery(
        noisy_latents_BCHW=rng.standard_normal((batch, LATENT_CHANNELS, SIDE, SIDE), dtype=np.float32),
        timesteps_B=rng.integers(0, 1000, batch),
        guidance_scale=scale,
        prompts=("a red mug, front view", "a blue car, back view")[:batch],
        negative_prompts=("",) * batch,
    )


def _with_view(query: NoiseQuery) -> NoiseQuery:
    batch = len(query.timesteps_B)
    return replace(
        query,
        view=ViewConditioning(
            reference_latents_BCHW=np.ones((batch, LATENT_CHANNELS, SIDE, SIDE), dtype=np.float32),
            azimuth_deg_B=np.arange(batch, dtype=np.float32) * 90,
            elevation_deg_B=np.zeros(batch, dtype=np.float32),
            image_tokens_BTD=np.random.default_rng(9).standard_normal((batch, 4, IMAGE_WIDTH), dtype=np.float32),
        ),
    )


def _with_depth(query: NoiseQuery) -> NoiseQuery:
    hint = np.random.default_rng(5).random((len(query.timesteps_B), 1, 32, 32), dtype=np.float32)
    return replace(query, disparity_B1HW=hint)


@pytest.mark.parametrize("condition", [lambda q: q, _with_view, _with_depth], ids=["text", "view", "depth"])
def test_same_query_same_answer_and_a_batch_is_its_parts(prior: DiffusionPrior, condition) -> None:  # type: ignore[no-untyped-def]
    query = condition(_query())
    whole = prior.predict_noise(query).noise_BCHW
    np.testing.assert_array_equal(whole, prior.predict_noise(query).noise_BCHW)
    for row in range(2):
        np.testing.assert_allclose(whole[row], prior.predict_noise(_row(query, row)).noise_BCHW[0], atol=2e-4)


def _row(query: NoiseQuery, row: int) -> NoiseQuery:
    part = slice(row, row + 1)
    view = query.view and ViewConditioning(
        reference_latents_BCHW=query.view.reference_latents_BCHW[part],
        azimuth_deg_B=query.view.azimuth_deg_B[part],
        elevation_deg_B=query.view.elevation_deg_B[part],
        image_tokens_BTD=None if query.view.image_tokens_BTD is None else query.view.image_tokens_BTD[part],
    )
    return NoiseQuery(
        noisy_latents_BCHW=query.noisy_latents_BCHW[part],
        timesteps_B=query.timesteps_B[part],
        guidance_scale=query.guidance_scale,
        prompts=query.prompts[part],
        negative_prompts=query.negative_prompts[part],
        view=view,
        disparity_B1HW=None if query.disparity_B1HW is None else query.disparity_B1HW[part],
    )


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_blend_is_between_its_prompts(prior: DiffusionPrior, scale: float) -> None:
    query = _query(scale=scale)
    other = ("a green tree", "a cake")

    def ask(*shares: float) -> np.ndarray:
        blend = PromptBlend(prompts=other, share_B=np.array(shares, dtype=np.float32))
        return prior.predict_noise(replace(query, blend=blend)).noise_BCHW

    first, second = prior.predict_noise(query).noise_BCHW, prior.predict_noise(replace(query, prompts=other)).noise_BCHW
    np.testing.assert_allclose(ask(0.0, 0.0), first, atol=1e-5)
    np.testing.assert_allclose(ask(1.0, 1.0), second, atol=1e-5)
    mixed = ask(0.0, 0.5)
    np.testing.assert_allclose(mixed[0], first[0], atol=1e-5)
    assert np.abs(mixed[1] - first[1]).max() > 1e-5
    assert np.abs(mixed[1] - second[1]).max() > 1e-5


def test_every_conditioning_changes_the_answer(prior: DiffusionPrior) -> None:
    plain = prior.predict_noise(_query()).noise_BCHW
    other_words = prior.predict_noise(replace(_query(), prompts=("a green tree", "a cake"))).noise_BCHW
    from_view = prior.predict_noise(_with_view(_query())).noise_BCHW
    from_depth = prior.predict_noise(_with_depth(_query())).noise_BCHW
    for other in (other_words, from_view, from_depth):
        assert np.abs(plain - other).max() > 1e-4
    turned = _with_view(_query())
    assert turned.view is not None
    turned = replace(turned, view=replace(turned.view, azimuth_deg_B=turned.view.azimuth_deg_B + 45))
    assert np.abs(from_view - prior.predict_noise(turned).noise_BCHW).max() > 1e-5


def test_what_the_image_encoder_saw_changes_the_answer_and_is_asked_for(
    folder: Path, prior: DiffusionPrior
) -> None:
    query = _with_view(_query())
    assert query.view is not None
    assert query.view.image_tokens_BTD is not None
    seen = prior.predict_noise(query).noise_BCHW
    other = replace(query.view, image_tokens_BTD=-query.view.image_tokens_BTD)
    assert np.abs(seen - prior.predict_noise(replace(query, view=other)).noise_BCHW).max() > 1e-5
    for wrong in (None, query.view.image_tokens_BTD[..., :-1]):
        with pytest.raises(ValueError, match="image tokens"):
            prior.predict_noise(replace(query, view=replace(query.view, image_tokens_BTD=wrong)))
    blind = load_prior(
        unet=folder / "unet",
        text_encoder=folder / "text_encoder",
        tokenizer=folder / "tokenizer",
        scheduler=folder / "scheduler",
        view_unet=folder / "blind_view_unet",
    )
    unseen = replace(query, view=replace(query.view, image_tokens_BTD=None))
    np.testing.assert_array_equal(blind.predict_noise(query).noise_BCHW, blind.predict_noise(unseen).noise_BCHW)


def test_guidance_is_u_plus_s_c_minus_u(prior: DiffusionPrior) -> None:
    conditional = prior.predict_noise(_query(scale=1.0)).noise_BCHW
    unconditional = prior.predict_noise(replace(_query(scale=1.0), prompts=("", ""))).noise_BCHW
    guided = prior.predict_noise(_query(scale=3.0)).noise_BCHW
    np.testing.assert_allclose(guided, unconditional + 3 * (conditional - unconditional), atol=5e-4)


def test_both_branches_of_the_guidance_are_told_the_depth(prior: DiffusionPrior) -> None:
    """As in Anything-3D: depth that only the conditional branch knew would be exaggerated with the words."""
    deep = _with_depth(_query(scale=1.0))
    conditional = prior.predict_noise(deep).noise_BCHW
    unconditional = prior.predict_noise(replace(deep, prompts=("", ""))).noise_BCHW
    untold = prior.predict_noise(replace(deep, prompts=("", ""), disparity_B1HW=None)).noise_BCHW
    guided = prior.predict_noise(replace(deep, guidance_scale=3.0)).noise_BCHW
    np.testing.assert_allclose(guided, unconditional + 3 * (conditional - unconditional), atol=5e-4)
    assert np.abs(unconditional - untold).max() > 5e-3


def test_v_prediction_becomes_noise(folder: Path, prior: DiffusionPrior) -> None:
    """eps = alpha v + sigma z_t, checked against diffusers' own conversion."""
    query = _query(scale=1.0)
    scheduler = new_scheduler()
    noisy, t = torch.from_numpy(query.noisy_latents_BCHW), torch.from_numpy(query.timesteps_B)
    signal = scheduler.alphas_cumprod[t][:, None, None, None]
    noise = torch.from_numpy(prior.predict_noise(query).noise_BCHW)
    clean = (noisy - (1 - signal).sqrt() * noise) / signal.sqrt()
    velocity = scheduler.get_velocity(clean, noise, t)
    recovered = signal.sqrt() * velocity + (1 - signal).sqrt() * noisy
    torch.testing.assert_close(recovered, noise, atol=1e-4, rtol=1e-4)


def test_two_scenes_from_two_threads_do_not_mix(prior: DiffusionPrior) -> None:
    queries = [_query(seed=k) for k in range(4)]
    alone = [prior.predict_noise(q).noise_BCHW for q in queries]
    together: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda k=k: together.update({k: prior.predict_noise(queries[k]).noise_BCHW}))
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_allclose(together[k], alone[k], atol=1e-5)


def test_wrong_latents_and_timesteps_are_refused(prior: DiffusionPrior) -> None:
    query = _query()
    with pytest.raises(ValueError, match="latents"):
        prior.predict_noise(replace(query, noisy_latents_BCHW=query.noisy_latents_BCHW[:, :3]))
    with pytest.raises(ValueError, match="timesteps"):
        prior.predict_noise(replace(query, timesteps_B=np.array([0, 1000])))


def test_a_bundle_without_view_prior_says_so(folder: Path) -> None:
    plain = load_prior(
        unet=folder / "unet",
        text_encoder=folder / "text_encoder",
        tokenizer=folder / "tokenizer",
        scheduler=folder / "scheduler",
    )
    with pytest.raises(ValueError, match="no view-conditioned prior"):
        plain.predict_noise(_with_view(_query()))
    with pytest.raises(ValueError, match="ControlNet"):
        plain.predict_noise(_with_depth(_query()))


def test_damaged_weights_are_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "vae"
    broken.mkdir()
    (broken / "config.json").write_bytes((folder / "vae" / "config.json").read_bytes())
    with pytest.raises(BundleError, match="safetensors"):
        load_codec(broken, image_size=32, pack=1)
    weights = next((folder / "vae").glob("*.safetensors"))
    (broken / weights.name).write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(BundleError, match="vae"):
        load_codec(broken, image_size=32, pack=1)
    with pytest.raises(BundleError, match="missing"):
        load_codec(tmp_path / "nowhere", image_size=32, pack=1)


def test_the_codec_has_gradients_and_packs_as_the_prior_wants(folder: Path) -> None:
    codec = load_codec(folder / "vae", image_size=32, pack=1)
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    latents = codec.encode(picture)
    assert tuple(latents.shape) == (2, LATENT_CHANNELS, SIDE, SIDE)
    latents.square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().max() > 0
    decoded = codec.decode(latents.detach())
    assert tuple(decoded.shape) == (2, 3, 32, 32)
    assert float(decoded.min()) >= 0
    assert float(decoded.max()) <= 1


def test_a_stable_diffusion_autoencoder_goes_through_the_same_codec() -> None:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    kl: Any = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    codec = LatentCodec(kl, image_size=32)
    picture = torch.rand(1, 3, 32, 32)
    latents = codec.encode(picture)
    assert tuple(latents.shape) == (1, 4, 16, 16)
    torch.testing.assert_close(latents, kl.encode(picture * 2 - 1).latent_dist.mean * 0.18215)


def test_the_schedule_is_stable_diffusions(folder: Path) -> None:
    schedule = load_schedule(folder / "scheduler")
    assert len(schedule) == 1000
    assert schedule.prediction_type == "v_prediction"
    np.testing.assert_allclose(schedule.alphas_cumprod_T[[0, 999]], [0.99915, 0.0046599], rtol=1e-3)
    assert schedule.timestep(1.0) == 999


def test_embeddings_are_computed_once(prior: DiffusionPrior) -> None:
    class Counting:
        """Counts how many prompts are tokenised."""

        def __init__(self, inner: object) -> None:
            self.inner, self.prompts = inner, 0

        def __call__(self, prompts: list[str], **options: object) -> object:
            """Count and pass on."""
            self.prompts += len(prompts)
            return self.inner(prompts, **options)  # type: ignore[operator]

    embedder = prior._embed
    assert embedder is not None
    counting = Counting(embedder._tokenizer)
    fresh = TextEmbedder(counting, embedder._encoder)
    fresh(("a cup", "a cup", "a car"))
    fresh(("a car", "a cup"))
    assert counting.prompts == 2


def test_a_text_encoder_that_lies_elsewhere_is_lent_and_given_back(prior: DiffusionPrior) -> None:
    embedder = prior._embed
    assert embedder is not None
    encoder = embedder._encoder
    fresh = TextEmbedder(embedder._tokenizer, encoder, device="meta")
    weights = weight_bytes(encoder)
    with PeakMeter(*encoder.parameters(), *encoder.buffers()) as meter:
        states = fresh(("a cup", "a car", "a cup"))
        assert meter.peak_bytes > weights
        # What is left: the two prompts that are remembered, and the answer.
        assert meter.now_bytes < weights / 10
    assert states.device.type == "meta"
    token = _token(1)
    learned, leaves = fresh.differentiable((f"a {token.word}",), (token,))
    assert {one.device.type for one in (learned, *leaves)} == {"meta"}
    assert torch.autograd.grad(learned.sum(), leaves)[0].shape == token.vectors_TD.shape
    assert {tensor.device.type for tensor in (*encoder.parameters(), *encoder.buffers())} == {"cpu"}
    assert fresh.word_vectors("mug").any()


def test_lent_weights_answer_as_the_encoder_itself(prior: DiffusionPrior) -> None:
    embedder = prior._embed
    assert embedder is not None
    other = TextEmbedder(embedder._tokenizer, embedder._encoder)
    other._lends = True
    token = _token(1)
    prompts = ("a cup", f"a red {token.word}")
    torch.testing.assert_close(other(prompts, (token,)), embedder(prompts, (token,)), rtol=0, atol=0)


WIDTH = 128


def _token(seed: int, count: int = 1) -> LearnedToken:
    vectors = 0.3 * np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)
    return LearnedToken(vectors_TD=vectors)


def _denoising(seed: int, prompt: str, *learned: LearnedToken, rows: int = 2) -> DenoisingQuery:
    rng = np.random.default_rng(seed)
    shape = (rows, LATENT_CHANNELS, SIDE, SIDE)
    return DenoisingQuery(
        latents_BCHW=rng.standard_normal(shape, dtype=np.float32),
        noise_BCHW=rng.standard_normal(shape, dtype=np.float32),
        timesteps_B=rng.integers(100, 900, rows),
        prompts=(prompt,) * rows,
        learned=learned,
    )


@pytest.mark.parametrize(
    ("words", "prompt"), [("mug", "a red {} with white stripes, front view"), ("white stripes", "a mug with {}")]
)
def test_a_token_with_the_vectors_of_words_says_what_the_words_say(
    prior: DiffusionPrior, words: str, prompt: str
) -> None:
    token = LearnedToken(vectors_TD=prior.word_vectors(words))
    assert len(token.vectors_TD) == len(words.split())
    plain = prior.predict_noise(replace(_query(), prompts=(prompt.format(words),) * 2)).noise_BCHW
    spoken = replace(_query(), prompts=(prompt.format(token.word),) * 2, learned=(token,))
    np.testing.assert_allclose(prior.predict_noise(spoken).noise_BCHW, plain, atol=1e-5)


def test_learned_tokens_of_two_scenes_in_one_batch_answer_as_alone(prior: DiffusionPrior) -> None:
    one, other = _token(1), _token(2, count=2)
    prompts = (f"a red {one.word}, front view", f"a {other.word}")
    mixed = prior.predict_noise(replace(_query(), prompts=prompts, learned=(one, other))).noise_BCHW
    for row, token in enumerate((one, other)):
        alone = replace(_row(replace(_query(), prompts=prompts), row), learned=(token,))
        np.testing.assert_allclose(mixed[row], prior.predict_noise(alone).noise_BCHW[0], atol=2e-4)
    swapped = replace(_query(), prompts=(f"a red {_token(3).word}, front view", prompts[1]), learned=(_token(3), other))
    assert np.abs(mixed[0] - prior.predict_noise(swapped).noise_BCHW[0]).max() > 1e-4


def test_a_prompt_longer_than_the_encoder_is_cut_and_may_lose_its_token(prior: DiffusionPrior) -> None:
    long = "red " * 40
    plain = prior.predict_noise(replace(_query(), prompts=(long + "mug",) * 2)).noise_BCHW
    token = _token(1)
    lost = replace(_query(), prompts=(long + token.word,) * 2, learned=(token,))
    np.testing.assert_allclose(prior.predict_noise(lost).noise_BCHW, plain, atol=1e-5)


def test_tokens_that_are_missing_or_of_another_width_are_refused(prior: DiffusionPrior) -> None:
    token, wide = _token(1), LearnedToken(vectors_TD=np.ones((1, WIDTH + 1), np.float32))
    with pytest.raises(ValueError, match="does not bring"):
        prior.predict_noise(replace(_query(), prompts=(f"a {token.word}",) * 2))
    with pytest.raises(ValueError, match="of another bundle"):
        prior.predict_noise(replace(_query(), prompts=(f"a {wide.word}",) * 2, learned=(wide,)))
    with pytest.raises(ValueError, match="a word to look up"):
        prior.word_vectors("  ")
    with pytest.raises(ValueError, match="latents"):
        prior.denoising_gradient(replace(_denoising(0, "a"), latents_BCHW=np.ones((2, 3, 8, 8), np.float32),
                                         noise_BCHW=np.ones((2, 3, 8, 8), np.float32)))  # fmt: skip


def test_the_gradient_is_that_of_the_loss_and_of_nothing_but_the_token(prior: DiffusionPrior) -> None:
    assert isinstance(prior, WordTeacher)
    token = _token(1)
    asked = _denoising(3, f"a red {token.word}", token)
    answer = prior.denoising_gradient(asked)
    (gradient,) = answer.gradients_TD
    assert gradient.shape == token.vectors_TD.shape
    direction = gradient / np.linalg.norm(gradient)
    step = 0.05

    def total(sign: int) -> float:
        moved = LearnedToken(vectors_TD=np.asarray(token.vectors_TD + sign * step * direction, dtype=np.float32))
        return float(prior.denoising_gradient(_denoising(3, f"a red {moved.word}", moved)).losses_B.sum())

    assert (total(1) - total(-1)) / (2 * step) == pytest.approx(float(np.linalg.norm(gradient)), rel=0.05)
    embed = prior._embed
    assert embed is not None
    for module in (prior._unet, embed._encoder):
        assert all(parameter.grad is None and not parameter.requires_grad for parameter in module.parameters())


def test_the_loss_of_plain_prompts_is_that_of_the_noise_prediction(prior: DiffusionPrior) -> None:
    asked = _denoising(4, "a red mug")
    answer = prior.denoising_gradient(asked)
    assert answer.gradients_TD == ()
    schedule = prior._schedule
    signal, sigma = schedule.signal(asked.timesteps_B), schedule.noise(asked.timesteps_B)
    predicted = prior.predict_noise(
        NoiseQuery(
            noisy_latents_BCHW=signal * asked.latents_BCHW + sigma * asked.noise_BCHW,
            timesteps_B=asked.timesteps_B,
            guidance_scale=1.0,
            prompts=asked.prompts,
            negative_prompts=("", ""),
        )
    ).noise_BCHW
    # v is off by the noise's error over alpha.
    wanted = np.square((predicted - asked.noise_BCHW) / signal).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(answer.losses_B, wanted, rtol=1e-3)


def test_gradients_of_a_shared_batch_are_those_alone(prior: DiffusionPrior) -> None:
    one, other = _token(1), _token(2, count=2)
    first, second = _denoising(5, f"a {one.word}", one), _denoising(6, f"the {other.word}, side view", other)
    both = prior.denoising_gradient(
        DenoisingQuery(
            latents_BCHW=np.concatenate([first.latents_BCHW, second.latents_BCHW]),
            noise_BCHW=np.concatenate([first.noise_BCHW, second.noise_BCHW]),
            timesteps_B=np.concatenate([first.timesteps_B, second.timesteps_B]),
            prompts=first.prompts + second.prompts,
            learned=(one, other),
        )
    )
    for part, alone in enumerate(map(prior.denoising_gradient, (first, second))):
        np.testing.assert_allclose(both.gradients_TD[part], alone.gradients_TD[0], rtol=1e-3, atol=1e-6)
