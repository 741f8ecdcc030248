"""The diffusion prior: official UNets, text encoder, schedule and depth ControlNet behind one noise prediction.

The predictor holds weights only. Prompts travel as strings, which are the content keys of a bounded cache of their
embeddings; reference latents and learned tokens travel with the query. So queries of different scenes can share one
forward pass, be retried, or be answered by any replica.

Shape suffixes: B latents of a query, C channels, h w latent cells, L tokens, T tokens of a word, D embedding width.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lift3d_ray.errors import BundleError
from lift3d_ray.models.clip import TOKENIZER_FILES
from lift3d_ray.models.files import load_pretrained
from lift3d_ray.models.processors import load_tokenizer
from lift3d_ray.models.schedule import NoiseSchedule, load_schedule
from lift3d_ray.models.text_embedder import TextEmbedder
from lift3d_ray.models.tuning import PLAIN, Tuning, tuned
from lift3d_ray.models.view_conditioning import POSITION_FEATURES, unet_inputs
from lift3d_ray.models.warming import warm_up, warming_queries
from lift3d_ray.types import (
    DenoisingGradient,
    DenoisingQuery,
    Float32,
    Int64,
    NoisePrediction,
    NoiseQuery,
    ViewConditioning,
)


class DiffusionPrior:
    """``NoisePredictor`` and ``WordTeacher`` over official diffusers classes.

    Args:
        unet: text-conditioned ``UNet2DConditionModel``, or None where only views are asked. One with a channel more
            than its latents have (Stable Diffusion 2-depth) is told depth there.
        embed: prompts to its cross-attention states, or None likewise.
        schedule: the training schedule of both UNets.
        view_unet: view-conditioned UNet (see ``view_conditioning``), or None.
        controlnet: depth ``ControlNetModel`` of ``unet``, or None.
    """

    def __init__(
        self,
        unet: Any,
        embed: TextEmbedder | None,
        schedule: NoiseSchedule,
        *,
        view_unet: Any | None = None,
        controlnet: Any | None = None,
    ) -> None:
        if schedule.prediction_type not in ("epsilon", "v_prediction"):
            raise BundleError(f"prediction_type must be 'epsilon' or 'v_prediction', got {schedule.prediction_type!r}")
        self._unet, self._embed, self._view_unet, self._controlnet = unet, embed, view_unet, controlnet
        self._schedule = schedule
        self._alphas_cumprod = torch.from_numpy(schedule.alphas_cumprod_T)
        for module in (unet, view_unet, controlnet):
            if module is not None:
                module.eval()
        self._takes_depth = unet is not None and unet.config.in_channels > unet.config.out_channels

    @torch.no_grad()
    def predict_noise(self, query: NoiseQuery) -> NoisePrediction:
        """See ``NoisePredictor``.

        Raises:
            ValueError: latents of another shape or timesteps outside the schedule, or a conditioning this bundle has
                no model for.
        """
        started = time.perf_counter()
        unet = self._unet if query.view is None else self._view_unet
        if unet is None:
            wanted, other = ("text", "views") if query.view is None else ("view-conditioned", "text")
            raise ValueError(f"this bundle has no {wanted} prior: use a recipe whose guidance is {other}")
        self._check(unet, query.noisy_latents_BCHW.shape, query.timesteps_B)
        device, dtype = unet.device, unet.dtype
        noisy = torch.from_numpy(query.noisy_latents_BCHW).to(device, dtype)
        timesteps = torch.from_numpy(query.timesteps_B).to(device)
        predict = self._predict_text if query.view is None else self._predict_view
        raw = predict(query, noisy, timesteps)
        noise = self._as_noise(raw.float(), noisy.float(), timesteps).cpu().numpy()
        return NoisePrediction(noise_BCHW=noise, batch_size=len(noise), seconds=time.perf_counter() - started)

    def word_vectors(self, words: str) -> Float32:
        """See ``WordTeacher``."""
        return self._words(self._unet).word_vectors(words)

    def denoising_gradient(self, query: DenoisingQuery) -> DenoisingGradient:
        """See ``WordTeacher``.

        Raises:
            ValueError: as of ``predict_noise``.
        """
        unet, schedule = self._unet, self._schedule
        embed = self._words(unet)
        self._check(unet, query.latents_BCHW.shape, query.timesteps_B)
        device, dtype = unet.device, unet.dtype
        signal = torch.from_numpy(schedule.signal(query.timesteps_B)).to(device)
        sigma = torch.from_numpy(schedule.noise(query.timesteps_B)).to(device)
        clean = torch.from_numpy(query.latents_BCHW).to(device)
        noise = torch.from_numpy(query.noise_BCHW).to(device)
        target = noise if schedule.prediction_type == "epsilon" else signal * noise - sigma * clean
        with torch.set_grad_enabled(bool(query.learned)):
            states, leaves = embed.differentiable(query.prompts, query.learned)
            output = unet.forward(
                (signal * clean + sigma * noise).to(dtype),
                torch.from_numpy(query.timesteps_B).to(device),
                encoder_hidden_states=states.to(device, dtype),
            ).sample
            losses = (output.float() - target).square().mean(dim=(1, 2, 3))
            gradients = torch.autograd.grad(losses.sum(), leaves) if leaves else ()
        return DenoisingGradient(
            losses_B=losses.detach().cpu().numpy(), gradients_TD=tuple(g.float().cpu().numpy() for g in gradients)
        )

    def _words(self, unet: Any) -> TextEmbedder:
        if unet is None or self._embed is None:
            raise ValueError("this bundle has no text prior, which words could be learnt from: switch inversion off")
        if self._takes_depth:
            raise ValueError("no words are learnt from a prior that must be told depth: switch inversion off")
        return self._embed

    def _check(self, unet: Any, shape: tuple[int, ...], timesteps_B: Int64) -> None:
        channels, side = unet.config.out_channels, unet.config.sample_size
        if shape[1] != channels:
            raise ValueError(f"the prior takes latents (B, {channels}, {side}, {side}), got {shape}")
        steps = len(self._schedule)
        if timesteps_B.min() < 0 or timesteps_B.max() >= steps:
            raise ValueError(f"timesteps must lie in [0, {steps}), got {timesteps_B.tolist()}")

    def _predict_text(self, query: NoiseQuery, noisy: Tensor, timesteps: Tensor) -> Tensor:
        guided = query.guidance_scale != 1.0
        hint = None
        if query.disparity_B1HW is not None:
            hint = torch.from_numpy(query.disparity_B1HW).to(noisy.device, noisy.dtype)
        if self._takes_depth:
            noisy, hint = self._with_depth(noisy, hint), None
        if guided:
            noisy, timesteps = torch.cat([noisy, noisy]), torch.cat([timesteps, timesteps])
            hint = None if hint is None else torch.cat([hint, hint])
        states = self._states(query, guided=guided).to(noisy.device, noisy.dtype)
        down, mid = self._control(noisy, timesteps, states, hint)
        output: Tensor = self._unet(
            noisy,
            timesteps,
            encoder_hidden_states=states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        return _guide(output, query.guidance_scale)

    def _states(self, query: NoiseQuery, *, guided: bool) -> Tensor:
        """(B, L, D) embeddings of the prompts, blended where the query asks; those of the negative ones behind them."""
        assert self._embed is not None
        states = self._embed(query.prompts, query.learned)
        if query.blend is not None:
            share_B11 = torch.from_numpy(query.blend.share_B).to(states)[:, None, None]
            states = states.lerp(self._embed(query.blend.prompts, query.learned), share_B11)
        return torch.cat([states, self._embed(query.negative_prompts)]) if guided else states

    def _control(
        self, noisy: Tensor, timesteps: Tensor, states: Tensor, hint: Tensor | None
    ) -> tuple[list[Tensor] | None, Tensor | None]:
        if hint is None:
            return None, None
        if self._controlnet is None:
            raise ValueError("this bundle has no depth ControlNet: use a recipe without depth conditioning")
        down, mid = self._controlnet(
            noisy, timesteps, encoder_hidden_states=states, controlnet_cond=hint.repeat(1, 3, 1, 1), return_dict=False
        )
        return down, mid

    def _with_depth(self, noisy: Tensor, hint: Tensor | None) -> Tensor:
        """(B, C + 1, h, w) latents and the inverse depth, each picture's spread over [-1, 1], as it was trained."""
        if hint is None:
            raise ValueError("this bundle's prior must be told depth: use a recipe whose guidance is depth")
        small = torch.nn.functional.interpolate(hint, size=noisy.shape[-2:], mode="bicubic", align_corners=False)
        low, high = small.amin((1, 2, 3), keepdim=True), small.amax((1, 2, 3), keepdim=True)
        return torch.cat([noisy, 2 * (small - low) / (high - low).clamp(min=1e-4) - 1], dim=1)

    def _predict_view(self, query: NoiseQuery, noisy: Tensor, timesteps: Tensor) -> Tensor:
        view, unet = query.view, self._view_unet
        assert view is not None
        assert unet is not None
        reference = torch.from_numpy(view.reference_latents_BCHW).to(noisy.device, noisy.dtype)
        azimuth = torch.from_numpy(view.azimuth_deg_B).to(noisy.device)
        elevation = torch.from_numpy(view.elevation_deg_B).to(noisy.device)
        keep = torch.ones(len(noisy), dtype=torch.bool, device=noisy.device)
        seen = self._image_tokens(view, noisy)
        if query.guidance_scale != 1.0:
            noisy, reference = torch.cat([noisy, noisy]), torch.cat([reference, reference])
            azimuth, elevation = torch.cat([azimuth, azimuth]), torch.cat([elevation, elevation])
            timesteps, keep = torch.cat([timesteps, timesteps]), torch.cat([keep, ~keep])
            seen = None if seen is None else torch.cat([seen, seen])
        sample, tokens, labels = unet_inputs(noisy, reference, azimuth, elevation, keep, seen)
        output: Tensor = unet(
            sample, timesteps, encoder_hidden_states=tokens, class_labels=labels.to(noisy.dtype)
        ).sample
        return _guide(output, query.guidance_scale)

    def _image_tokens(self, view: ViewConditioning, noisy: Tensor) -> Tensor | None:
        """What the image encoder saw, where this UNet was trained with it.

        Raises:
            ValueError: it was, and the query brings nothing, or something else.
        """
        assert self._view_unet is not None
        width = self._view_unet.config.encoder_hid_dim - noisy.shape[1] - POSITION_FEATURES
        if width == 0:
            return None
        tokens = view.image_tokens_BTD
        if tokens is None or tokens.shape[2] != width:
            got = "none" if tokens is None else f"shape {tokens.shape}"
            raise ValueError(
                f"the view-conditioned prior takes image tokens (B, T, {width}), got {got}: "
                "the bundle's image encoder must be the one that the prior was trained with"
            )
        return torch.from_numpy(tokens).to(noisy.device, noisy.dtype)

    def _as_noise(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Noise from v = alpha eps - sigma x0 (Salimans & Ho 2022): eps = alpha v + sigma z."""
        if self._schedule.prediction_type == "epsilon":
            return output
        signal = self._alphas_cumprod.to(noisy.device)[timesteps][:, None, None, None]
        return signal.sqrt() * output + (1 - signal).sqrt() * noisy


def _guide(output: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance u + s (c - u) (Ho & Salimans 2022); a single branch passes through."""
    if scale == 1.0:
        return output
    conditional, unconditional = output.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def load_prior(
    *,
    unet: Path,
    text_encoder: Path,
    tokenizer: Path,
    scheduler: Path,
    view_unet: Path | None = None,
    controlnet: Path | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    tuning: Tuning = PLAIN,
) -> DiffusionPrior:
    """Load a prior from official folders.

    Its text encoder stays on the CPU: prompts are encoded on the device, with weights that are lent to it.

    Raises:
        BundleError: files missing, damaged or of another class.
        ConfigError: what ``tuning`` asks for cannot be done here.
    """
    tuning.check(device, dtype)
    from diffusers import ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    encoder = load_pretrained(CLIPTextModel, text_encoder).to(dtype)
    vocab_size = int(encoder.config.vocab_size)
    tokens = load_tokenizer(CLIPTokenizer, tokenizer, files=TOKENIZER_FILES, vocab_size=vocab_size)

    def place(model_class: Any, folder: Path | None) -> Any:
        return None if folder is None else tuned(load_pretrained(model_class, folder).to(device, dtype), tuning)

    networks = {
        "unet": place(UNet2DConditionModel, unet),
        "view_unet": place(UNet2DConditionModel, view_unet),
        "controlnet": place(ControlNetModel, controlnet),
    }
    prior = DiffusionPrior(
        embed=TextEmbedder(tokens, encoder, device=device), schedule=load_schedule(scheduler), **networks
    )
    if tuning.compile:
        warm_up(prior, warming_queries(**networks))
    return prior
