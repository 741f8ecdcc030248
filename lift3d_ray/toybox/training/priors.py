"""Training of the diffusion priors on the latents of toy views: text, view-conditioned, depth ControlNet.

All predict v (Salimans & Ho 2022) under Stable Diffusion's schedule. Timesteps lean to the noisy half: that is where
score distillation asks, and where shape is decided.

Shape suffixes: B latents of a batch, C channels, h w cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.view_conditioning import POSE_FEATURES, POSITION_FEATURES, unet_inputs
from lift3d_ray.toybox.attributes import view_name
from lift3d_ray.toybox.training.codec import LATENT_CHANNELS, STEM
from lift3d_ray.toybox.training.latents import LatentViews
from lift3d_ray.toybox.training.sheets import picture_grid
from lift3d_ray.types import UInt8

LATENT_SIDE = 8
TEXT_WIDTH = 128
PROMPT_TOKENS = 24
# Of the image tokens while training: the encoder knows the training toys better than it will know any other.
TOKEN_NOISE = 0.3


def new_scheduler() -> Any:
    """Stable Diffusion's schedule, predicting v."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
    )


def new_text_unet() -> Any:
    """The text prior: 12x8x8 latents, attention at 4x4."""
    return _plain_attention(
        _unet(
            in_channels=LATENT_CHANNELS,
            block_out_channels=(64, 128),
            attention=(False, True),
            layers_per_block=1,
            cross_attention_dim=TEXT_WIDTH,
        )
    )


def new_view_unet(image_width: int = 0) -> Any:
    """The view-conditioned prior: reference latents beside the noisy ones, attention at 8x8 and 4x4.

    Args:
        image_width: channels of the image tokens it is told the reference by as well; 0 = none.
    """
    return _plain_attention(
        _unet(
            in_channels=2 * LATENT_CHANNELS,
            block_out_channels=(80, 160),
            attention=(True, True),
            layers_per_block=1,
            cross_attention_dim=TEXT_WIDTH,
            class_embed_type="projection",
            projection_class_embeddings_input_dim=POSE_FEATURES + image_width,
            encoder_hid_dim=LATENT_CHANNELS + POSITION_FEATURES + image_width,
            encoder_hid_dim_type="text_proj",
        )
    )


def new_controlnet(unet: Any) -> Any:
    """A depth ControlNet on a copy of the text prior's encoder (Zhang et al. 2023)."""
    from diffusers import ControlNetModel

    return _plain_attention(
        # Three stages bring a hint of 32 pixels down to the 8 cells of the latents.
        ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64), conditioning_channels=3)
    )


def new_text_encoder(tokenizer: Any) -> Any:
    """A small ``CLIPTextModel`` for the text prior, trained with it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=PROMPT_TOKENS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _unet(
    *, in_channels: int, block_out_channels: tuple[int, int], attention: tuple[bool, bool], **options: Any
) -> Any:
    from diffusers import UNet2DConditionModel

    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention))
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=in_channels,
        out_channels=LATENT_CHANNELS,
        block_out_channels=block_out_channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=4,
        norm_num_groups=16,
        **options,
    )


def _plain_attention(model: Any) -> Any:
    """Matrix products instead of the fused kernel, whose backward pass is slow on CPUs."""
    from diffusers.models.attention_processor import AttnProcessor

    model.set_attn_processor(AttnProcessor())
    return model


class _Noisy(NamedTuple):
    """Noisy latents, timesteps and v targets."""

    latents_BCHW: Tensor
    timesteps_B: Tensor
    v_BCHW: Tensor


class Diffuser:
    """Adds noise and states the v target."""

    def __init__(self) -> None:
        self.alphas_cumprod: Tensor = new_scheduler().alphas_cumprod

    def noisy(self, clean_BCHW: Tensor, rng: np.random.Generator) -> _Noisy:
        """Latents with noise of ``rng``'s timesteps and torch's generator."""
        batch = len(clean_BCHW)
        uniform = rng.random(batch)
        fraction = np.where(rng.random(batch) < 0.5, uniform, 0.4 + 0.6 * uniform)
        timesteps = torch.from_numpy((fraction * len(self.alphas_cumprod)).astype(np.int64))
        signal = self.alphas_cumprod[timesteps].sqrt()[:, None, None, None]
        sigma = (1 - self.alphas_cumprod[timesteps]).sqrt()[:, None, None, None]
        noise = torch.randn_like(clean_BCHW)
        return _Noisy(signal * clean_BCHW + sigma * noise, timesteps, signal * noise - sigma * clean_BCHW)


class ViewTask:
    """The view-conditioned prior: this toy, from there, given one framed reference picture.

    Args:
        train: latents to learn from.
        held_out: latents to judge by.
        codec: for the sheets.
        batch_size: latents a step.
        seed: of the initial weights.
        start_from: an official folder with earlier weights to go on from.
    """

    def __init__(
        self,
        train: LatentViews,
        held_out: LatentViews,
        codec: LatentCodec,
        *,
        batch_size: int = 64,
        seed: int = 0,
        start_from: Path | None = None,
    ) -> None:
        from diffusers import UNet2DConditionModel

        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._train, self._held_out, self._codec, self._size = train, held_out, codec, batch_size
        tokens = train.reference_NRTD
        self.unet = new_view_unet(0 if tokens is None else tokens.shape[-1])
        if start_from is not None:
            self.unet = _plain_attention(UNet2DConditionModel.from_pretrained(str(start_from), local_files_only=True))
        self._diffuser = Diffuser()

    def modules(self) -> dict[str, nn.Module]:
        """The UNet."""
        return {"unet": self.unet}

    def draw(self, rng: np.random.Generator) -> tuple[_Pair, _Noisy, Tensor]:
        """Pairs, their noisy targets, and where the reference is told."""
        pair = _draw_pair(self._train, rng, self._size)
        if pair.image_tokens_BTD is not None:
            noise = TOKEN_NOISE * torch.randn_like(pair.image_tokens_BTD)
            pair = pair._replace(image_tokens_BTD=pair.image_tokens_BTD + noise)
        return pair, self._diffuser.noisy(pair.target_BCHW, rng), torch.from_numpy(rng.random(self._size) > 0.1)

    def loss(self, batch: tuple[_Pair, _Noisy, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of v."""
        return self._error(*batch), {}

    def _error(self, pair: _Pair, noisy: _Noisy, keep_B: Tensor) -> Tensor:
        sample, tokens, labels = unet_inputs(
            noisy.latents_BCHW,
            pair.reference_BCHW,
            pair.azimuth_deg_B,
            pair.elevation_deg_B,
            keep_B,
            pair.image_tokens_BTD,
        )
        output = self.unet(sample, noisy.timesteps_B, encoder_hidden_states=tokens, class_labels=labels).sample
        return nn.functional.mse_loss(output.float(), noisy.v_BCHW)

    def validate(self) -> dict[str, float]:
        """Loss at fixed noise, and PSNR of sampled novel views (dB) against the truth."""
        rng = np.random.default_rng(11)
        losses = [float(self._held_loss(rng)) for _ in range(4)]
        truth, drawn, _ = self._samples(96)
        error = ((truth - drawn) ** 2).mean(dim=(1, 2, 3))
        return {"loss": float(np.mean(losses)), "sample_psnr": float((-10 * torch.log10(error)).mean())}

    @torch.no_grad()
    def _held_loss(self, rng: np.random.Generator) -> Tensor:
        pair = _draw_pair(self._held_out, rng, 64)
        return self._error(pair, self._diffuser.noisy(pair.target_BCHW, rng), torch.ones(64, dtype=torch.bool))

    def _samples(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        from lift3d_ray.guidance.ddim import sample_ddim
        from lift3d_ray.models.diffusion import DiffusionPrior
        from lift3d_ray.models.schedule import NoiseSchedule
        from lift3d_ray.types import NoiseQuery, ViewConditioning

        rng = np.random.default_rng(12)
        pair = _draw_pair(self._held_out, rng, count)
        schedule = NoiseSchedule(
            alphas_cumprod_T=self._diffuser.alphas_cumprod.numpy(), prediction_type="v_prediction"
        )
        prior = DiffusionPrior(None, None, schedule, view_unet=self.unet)
        query = NoiseQuery(
            noisy_latents_BCHW=rng.standard_normal(tuple(pair.target_BCHW.shape), dtype=np.float32),
            timesteps_B=np.zeros(count, dtype=np.int64),
            guidance_scale=1.5,
            prompts=("",) * count,
            negative_prompts=("",) * count,
            view=ViewConditioning(
                reference_latents_BCHW=pair.reference_BCHW.numpy(),
                azimuth_deg_B=pair.azimuth_deg_B.numpy(),
                elevation_deg_B=pair.elevation_deg_B.numpy(),
                image_tokens_BTD=None if pair.image_tokens_BTD is None else pair.image_tokens_BTD.numpy(),
            ),
        )
        clean = sample_ddim(prior, schedule, query, steps=16)
        decode = self._codec.decode
        return decode(pair.target_BCHW), decode(torch.from_numpy(clean)), decode(pair.reference_BCHW)

    def sheet(self) -> UInt8:
        """Rows of reference, truth, sample."""
        truth, drawn, reference = self._samples(48)
        return picture_grid([reference, truth, drawn], columns=16)


class TextTask:
    """The text prior and its text encoder: captions with view phrases.

    Args:
        train: latents to learn from.
        held_out: latents to judge by.
        codec: for the sheets.
        tokenizer: a CLIP tokenizer.
        batch_size: latents a step.
        seed: of the initial weights.
    """

    def __init__(
        self,
        train: LatentViews,
        held_out: LatentViews,
        codec: LatentCodec,
        tokenizer: Any,
        *,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._train, self._held_out, self._codec, self._size = train, held_out, codec, batch_size
        self._tokenizer = tokenizer
        self.unet = new_text_unet()
        self.text_encoder = new_text_encoder(tokenizer)
        self._diffuser = Diffuser()

    def modules(self) -> dict[str, nn.Module]:
        """The UNet and the text encoder."""
        return {"unet": self.unet, "text_encoder": self.text_encoder}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, _Noisy]:
        """Prompts' ids and noisy latents; a tenth of the prompts empty, a tenth without a view phrase."""
        target, prompts, _ = draw_captioned(self._train, rng, self._size)
        return self.ids(prompts), self._diffuser.noisy(target, rng)

    def loss(self, batch: tuple[Tensor, _Noisy]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of v."""
        return self._error(*batch), {}

    def _error(self, ids_BT: Tensor, noisy: _Noisy) -> Tensor:
        output = self.unet(noisy.latents_BCHW, noisy.timesteps_B, encoder_hidden_states=self.states(ids_BT)).sample
        return nn.functional.mse_loss(output.float(), noisy.v_BCHW)

    def ids(self, prompts: list[str]) -> Tensor:
        """(B, 24) token ids."""
        tokens = self._tokenizer(
            prompts, padding="max_length", truncation=True, max_length=PROMPT_TOKENS, return_tensors="pt"
        )
        ids: Tensor = tokens.input_ids
        return ids

    def states(self, ids_BT: Tensor) -> Tensor:
        """(B, 24, 128) text encoder states."""
        hidden: Tensor = self.text_encoder(ids_BT).last_hidden_state
        return hidden

    def validate(self) -> dict[str, float]:
        """Loss at fixed noise."""
        rng = np.random.default_rng(13)
        losses = []
        for _ in range(4):
            target, prompts, _ = draw_captioned(self._held_out, rng, 64, plain=True)
            losses.append(float(self._error(self.ids(prompts), self._diffuser.noisy(target, rng))))
        return {"loss": float(np.mean(losses))}

    def sheet(self) -> UInt8:
        """Held-out views above samples of their captions."""
        from lift3d_ray.guidance.ddim import sample_ddim
        from lift3d_ray.models.diffusion import DiffusionPrior
        from lift3d_ray.models.schedule import NoiseSchedule
        from lift3d_ray.models.text_embedder import TextEmbedder
        from lift3d_ray.types import NoiseQuery

        rng = np.random.default_rng(14)
        target, prompts, _ = draw_captioned(self._held_out, rng, 48, plain=True)
        schedule = NoiseSchedule(
            alphas_cumprod_T=self._diffuser.alphas_cumprod.numpy(), prediction_type="v_prediction"
        )
        prior = DiffusionPrior(self.unet, TextEmbedder(self._tokenizer, self.text_encoder), schedule)
        query = NoiseQuery(
            noisy_latents_BCHW=rng.standard_normal(target.shape, dtype=np.float32),
            timesteps_B=np.zeros(48, dtype=np.int64),
            guidance_scale=3.0,
            prompts=tuple(prompts),
            negative_prompts=("",) * 48,
        )
        clean = torch.from_numpy(sample_ddim(prior, schedule, query, steps=16))
        return picture_grid([self._codec.decode(target), self._codec.decode(clean)], columns=16)


class ControlTask:
    """The depth ControlNet, over a frozen text prior.

    Args:
        train: latents to learn from.
        held_out: latents to judge by.
        text: the trained text prior.
        batch_size: latents a step.
        seed: of the initial weights.
    """

    def __init__(
        self, train: LatentViews, held_out: LatentViews, text: TextTask, *, batch_size: int = 48, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._train, self._held_out, self._text, self._size = train, held_out, text, batch_size
        text.unet.requires_grad_(False)
        text.text_encoder.requires_grad_(False)
        self.controlnet = new_controlnet(text.unet).requires_grad_(True)
        self._diffuser = Diffuser()

    def modules(self) -> dict[str, nn.Module]:
        """The ControlNet, and what it stands on, which stays as it is."""
        return {"controlnet": self.controlnet, "unet": self._text.unet, "text_encoder": self._text.text_encoder}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, _Noisy]:
        """Prompts' ids, depth hints and noisy latents."""
        return self._hinted(self._train, rng, self._size)

    def loss(self, batch: tuple[Tensor, Tensor, _Noisy]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of v with the depth as hint."""
        return self._error(batch, hinted=True), {}

    def validate(self) -> dict[str, float]:
        """Loss at fixed noise, with and without the hint."""
        batches = [self._hinted(self._held_out, np.random.default_rng(k), 64) for k in range(4)]
        return {
            "loss": float(np.mean([float(self._error(batch, hinted=True)) for batch in batches])),
            "loss_without": float(np.mean([float(self._error(batch, hinted=False)) for batch in batches])),
        }

    def _hinted(self, data: LatentViews, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, _Noisy]:
        target, prompts, where = draw_captioned(data, rng, count)
        hint = _hints(data.views.target_disparity[where])
        return self._text.ids(prompts), hint, self._diffuser.noisy(target, rng)

    def _error(self, batch: tuple[Tensor, Tensor, _Noisy], *, hinted: bool) -> Tensor:
        ids, hint, (noisy, timesteps, wanted) = batch
        states = self._text.states(ids)
        down, mid = None, None
        if hinted:
            down, mid = self.controlnet(
                noisy, timesteps, encoder_hidden_states=states, controlnet_cond=hint, return_dict=False
            )
        output = self._text.unet(
            noisy,
            timesteps,
            encoder_hidden_states=states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        return nn.functional.mse_loss(output.float(), wanted)

    def sheet(self) -> UInt8:
        """Hints of held-out views."""
        return picture_grid([_hints(self._held_out.views.target_disparity[:16, 0])], columns=16)


def _hints(disparity_BHW: UInt8) -> Tensor:
    """(B, 3, 32, 32) in [0, 1] of disparity images: every other pixel, since a mean over a rim is no depth."""
    step = disparity_BHW.shape[-1] // (STEM * LATENT_SIDE)
    smaller = np.ascontiguousarray(disparity_BHW[:, ::step, ::step]).astype(np.float32) / 255
    return torch.from_numpy(smaller)[:, None].repeat(1, 3, 1, 1)


class _Pair(NamedTuple):
    """Targets, the references they are asked by, and from where."""

    target_BCHW: Tensor
    reference_BCHW: Tensor
    image_tokens_BTD: Tensor | None
    azimuth_deg_B: Tensor
    elevation_deg_B: Tensor


def _draw_pair(data: LatentViews, rng: np.random.Generator, count: int) -> _Pair:
    """Random pairs; the azimuth is relative to the reference's, the elevation absolute."""
    toys, targets = data.target_NTCHW.shape[:2]
    toy = rng.integers(toys, size=count)
    t, r = rng.integers(targets, size=count), rng.integers(data.reference_NRCHW.shape[1], size=count)
    views = data.views
    azimuth = views.target_azimuth_deg[toy, t] - views.reference_azimuth_deg[toy, r]
    return _Pair(
        target_BCHW=data.target_NTCHW[toy, t].float(),
        reference_BCHW=data.reference_NRCHW[toy, r].float(),
        image_tokens_BTD=None if data.reference_NRTD is None else data.reference_NRTD[toy, r].float(),
        azimuth_deg_B=torch.from_numpy(azimuth),
        elevation_deg_B=torch.from_numpy(views.target_elevation_deg[toy, t]),
    )


def draw_captioned(
    data: LatentViews, rng: np.random.Generator, count: int, *, plain: bool = False
) -> tuple[Tensor, list[str], tuple[np.ndarray, np.ndarray]]:
    """Targets (B, C, h, w), their prompts, and which they are; ``plain`` keeps every prompt whole."""
    toy = rng.integers(len(data.target_NTCHW), size=count)
    t = rng.integers(data.target_NTCHW.shape[1], size=count)
    views = data.views
    chance = np.ones(count) if plain else rng.random(count)
    prompts = []
    for k in range(count):
        where = toy[k], t[k]
        phrase = view_name(float(views.target_azimuth_deg[where]), float(views.target_elevation_deg[where]))
        whole = f"{views.captions[toy[k]]}, {phrase} view"
        prompts.append("" if chance[k] < 0.1 else views.captions[toy[k]] if chance[k] < 0.2 else whole)
    return data.target_NTCHW[toy, t].float(), prompts, (toy, t)
