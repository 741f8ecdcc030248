"""The prior's roles, one function each: codec, view prior, text prior, depth ControlNet.

Each goes on from its checkpoint in the work folder, and ends by writing its official folder into the bundle.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from lift3d_ray.devices import has_bf16
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.latents import LatentCodec, load_codec
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.training.codec import STEM, CodecTask, NearbyCodecTask, PictureSource
from lift3d_ray.toybox.training.effort import EFFORTS, Effort
from lift3d_ray.toybox.training.export import IMAGE_SIZE, LATENT_PACK, save_half, set_latent_scale
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.toybox.training.latents import LatentViews, encode_views, join_latents, over_white
from lift3d_ray.toybox.training.priors import ControlTask, TextTask, ViewTask
from lift3d_ray.toybox.training.tokenizers import toybox_vocabulary, write_clip_tokenizer
from lift3d_ray.toybox.training.views import ViewSet, build_views, load_views, mirror_views

Tell = Callable[[str], None]

HELD_OUT_TOYS = 500
CODEC_SHARDS = 16


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where a training works and what it leaves.

    Attributes:
        work: data, checkpoints, logs and sheets; may be deleted afterwards.
        bundle: the bundle folder that trained roles are written to.
        threads: torch threads, and processes that render data.
        device: torch device.
        loaders: processes that draw batches ahead.
        effort: how much is made and how long it is learnt from.
        steps: steps instead of a role's own number, for short trials.
        tell: told about progress.
    """

    work: Path
    bundle: Path
    threads: int = 1
    device: str = "cpu"
    loaders: int = 0
    effort: Effort = field(default_factory=lambda: EFFORTS["cores"])
    steps: int | None = None
    tell: Tell = print

    def plan(self, role: str, **settings: float | int | bool) -> TrainingPlan:
        """The role's plan: bfloat16 where the device computes with it, which took 0.57 of the codec's time on a CPU."""
        numbers = self.effort.roles[role]
        plan = TrainingPlan(
            steps=self.steps or numbers.steps,
            learning_rate=numbers.learning_rate,
            bf16=has_bf16(self.device),
            device=self.device,
            loaders=self.loaders,
            threads=self.threads,
        )
        return replace(plan, **settings)  # type: ignore[arg-type]

    def batch_size(self, role: str) -> int:
        """Pictures or latents a step."""
        return self.effort.roles[role].batch_size


def build_prior_data(shop: Workshop) -> None:
    """Render the views, training and held-out."""
    workers = max(1, shop.threads)
    build_views(shop.work / "views_heldout", toys=HELD_OUT_TOYS, split=Split.HELD_OUT, seed=1, workers=workers)
    build = functools.partial(build_views, split=Split.TRAIN, workers=workers, progress=shop.tell)
    build(shop.work / "views", toys=shop.effort.named_toys)
    build(shop.work / "views_shapes", toys=shop.effort.shape_toys, any_shape=True)


def train_codec(shop: Workshop) -> None:
    """The autoencoder, encoder and decoder together; sets the scale of the latents."""
    source, held_out = _codec_data(shop)
    task = CodecTask(source, held_out, batch_size=shop.batch_size("vae"))
    plan = shop.plan("vae", final_rate_fraction=0.02, ema_decay=0.998, weight_decay=0.0)
    figures = train(task, plan, shop.work / "vae", progress=shop.tell)
    pictures = over_white(load_views(shop.work / "views", limit=1).target_rgba)
    set_latent_scale(task.autoencoder, pixel_unshuffle(pictures * 2 - 1, STEM))
    save_half(task.autoencoder, shop.bundle / "vae", figures)


def train_codec_on(shop: Workshop) -> None:
    """The bundle's codec again, its latents held near to what the priors know."""
    source, held_out = _codec_data(shop)
    task = NearbyCodecTask(_codec(shop).autoencoder, source, held_out, batch_size=shop.batch_size("vae_on"))
    plan = shop.plan("vae_on", final_rate_fraction=0.02, ema_decay=0.998, weight_decay=0.0)
    figures = train(task, plan, shop.work / "vae_on", progress=shop.tell)
    save_half(task.autoencoder, shop.bundle / "vae", figures)


def train_view_prior(shop: Workshop) -> None:
    """The view-conditioned prior, which sees its references by CLIP's tower."""
    # Half of the pairs are mirror images: without them the prior learns the training toys by heart.
    pairs = [_latents(shop, name, mirrored=flip) for name in ("views", "views_shapes") for flip in (False, True)]
    held_out = _latents(shop, "views_heldout")
    task = ViewTask(
        functools.reduce(join_latents, pairs), held_out, _codec(shop), batch_size=shop.batch_size("view_unet")
    )
    figures = train(task, shop.plan("view_unet", warmup_steps=200), shop.work / "view_unet", progress=shop.tell)
    save_half(task.unet, shop.bundle / "view_unet", figures)


def train_text_prior(shop: Workshop) -> None:
    """The text prior with its text encoder and tokenizer."""
    task = _text_task(shop)
    figures = train(task, shop.plan("unet", warmup_steps=200), shop.work / "unet", progress=shop.tell)
    save_half(task.unet, shop.bundle / "unet", figures)
    save_half(task.text_encoder, shop.bundle / "text_encoder", figures)


def train_controlnet(shop: Workshop) -> None:
    """The depth ControlNet over the bundle's text prior."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    text = _text_task(shop)
    text.unet.load_state_dict(
        UNet2DConditionModel.from_pretrained(str(shop.bundle / "unet"), local_files_only=True).float().state_dict()
    )
    text.text_encoder.load_state_dict(
        CLIPTextModel.from_pretrained(str(shop.bundle / "text_encoder"), local_files_only=True).float().state_dict()
    )
    task = ControlTask(
        _latents(shop, "views"), _latents(shop, "views_heldout"), text, batch_size=shop.batch_size("controlnet")
    )
    figures = train(task, shop.plan("controlnet"), shop.work / "controlnet", progress=shop.tell)
    save_half(task.controlnet, shop.bundle / "controlnet", figures)


def _text_task(shop: Workshop) -> TextTask:
    from transformers import CLIPTokenizer

    write_clip_tokenizer(shop.bundle / "tokenizer", toybox_vocabulary())
    tokenizer = CLIPTokenizer.from_pretrained(str(shop.bundle / "tokenizer"), local_files_only=True)
    views, held_out = _latents(shop, "views"), _latents(shop, "views_heldout")
    return TextTask(views, held_out, _codec(shop), tokenizer, batch_size=shop.batch_size("unet"))


def _codec(shop: Workshop, device: str = "cpu") -> LatentCodec:
    return load_codec(shop.bundle / "vae", image_size=IMAGE_SIZE, pack=LATENT_PACK, device=device)


def _codec_data(shop: Workshop) -> tuple[PictureSource, tuple[Tensor, Tensor]]:
    """Training pictures, and 512 held-out ones with their coverage."""
    views, held_out = load_views(shop.work / "views", limit=CODEC_SHARDS), load_views(shop.work / "views_heldout")
    some = np.concatenate([_flat(held_out.target_rgba[::4, ::2]), _flat(held_out.reference_rgba[::4, :1])])[:512]
    alpha = torch.from_numpy(np.ascontiguousarray(some[..., 3:])).permute(0, 3, 1, 2).float() / 255
    source = PictureSource(np.concatenate([_flat(views.target_rgba), _flat(views.reference_rgba)]))
    return source, (over_white(some), alpha)


def _flat(rgba: np.ndarray) -> np.ndarray:
    return rgba.reshape(-1, *rgba.shape[-3:])


def _latents(shop: Workshop, name: str, *, mirrored: bool = False) -> LatentViews:
    """The views through the bundle's codec and image encoder, computed once and kept in the work folder."""
    views = load_views(shop.work / name)
    if mirrored:
        views = mirror_views(views)
    stored = shop.work / f"{name}{'-mirrored' * mirrored}-latents.pt"
    if not stored.exists():
        encoder = load_image_encoder(shop.bundle / "clip", device=shop.device)
        encoded = encode_views(views, _codec(shop, shop.device), encoder)
        torch.save(
            {
                "target": encoded.target_NTCHW,
                "reference": encoded.reference_NRCHW,
                "tokens": encoded.reference_NRTD,
            },
            stored,
        )
    saved = torch.load(stored, weights_only=True)
    return LatentViews(
        views=_light(views),
        target_NTCHW=saved["target"],
        reference_NRCHW=saved["reference"],
        reference_NRTD=saved["tokens"],
    )


def _light(views: ViewSet) -> ViewSet:
    """Without the pictures, which the latents replace."""
    nothing = np.zeros((0,), dtype=np.uint8)
    return replace(views, target_rgba=nothing, reference_rgba=nothing)
