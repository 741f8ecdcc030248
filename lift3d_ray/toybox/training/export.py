"""Writing trained roles into a bundle folder, in their official layouts, half precision."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch

from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.toybox.training.codec import STEM
from lift3d_ray.toybox.training.priors import new_scheduler

IMAGE_SIZE = 32
"""Side of the priors' pictures, pixels: a prior of this size learns shapes in the time that one of 64 learns edges."""
LATENT_PACK = 1
ROLES = (
    "segmenter",
    "captioner",
    "depth",
    "pose",
    "coarse",
    "point_cloud",
    "clip",
    "vae",
    "unet",
    "text_encoder",
    "tokenizer",
    "scheduler",
    "view_unet",
    "controlnet",
)


def save_half(model: Any, folder: Path, figures: dict[str, float]) -> None:
    """A diffusers or transformers model as float16 safetensors, and its figures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).half().save_pretrained(str(folder), safe_serialization=True)
    _forget_origin(folder / "config.json")
    rounded = {name: round(value, 4) for name, value in figures.items()}
    (folder / "training.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def _forget_origin(config: Path) -> None:
    """Take out where training went on from: diffusers notes the folder, which means nothing to anybody else."""
    facts = json.loads(config.read_text(encoding="utf-8"))
    if facts.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.no_grad()
def set_latent_scale(autoencoder: Any, folded_B48HW: torch.Tensor) -> None:
    """Write mean and standard deviation of the latents of these folded pictures into the configuration."""
    latents = autoencoder.encode(folded_B48HW).latents
    autoencoder.register_to_config(
        shift_factor=round(float(latents.mean()), 5), scaling_factor=round(1 / float(latents.std()), 5)
    )


def as_codec(autoencoder: Any) -> LatentCodec:
    """The codec that the bundle will load."""
    assert autoencoder.config.in_channels == 3 * STEM**2
    return LatentCodec(autoencoder, image_size=IMAGE_SIZE, pack=LATENT_PACK)


def write_bundle_file(bundle: Path) -> None:
    """``bundle.json`` over the roles that are there, and the scheduler's folder."""
    new_scheduler().save_pretrained(str(bundle / "scheduler"))
    roles = {role: role for role in ROLES if (bundle / role).is_dir()}
    # The view prior sees its reference by CLIP, as Zero-1-to-3 does.
    roles |= {"image_encoder": "clip"} if {"clip", "view_unet"} <= roles.keys() else {}
    facts = {"name": "toybox", "image_size": IMAGE_SIZE, "latent_pack": LATENT_PACK, "roles": roles}
    (bundle / "bundle.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
