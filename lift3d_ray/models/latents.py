"""The autoencoder half that a scene keeps: pictures to the prior's latents, with gradients, and back.

The codec is an official ``AutoencoderTiny`` or ``AutoencoderKL``. Two facts of a bundle are data, not code: a stem that
folds p x p pixels into channels before the encoder (``in_channels = 3 p^2``; 1 for every published autoencoder), and
the packing that folds k x k latent cells into channels before the prior (1 for Stable Diffusion).

Shape suffixes: B pictures, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lift3d_ray.errors import BundleError


class LatentCodec:
    """Differentiable pictures <-> latents.

    Args:
        autoencoder: ``AutoencoderTiny`` or ``AutoencoderKL``, in evaluation mode, its parameters frozen.
        image_size: side of the pictures the prior was trained on, pixels.
        pack: latent cells folded into channels along each side.
    """

    def __init__(self, autoencoder: Any, *, image_size: int, pack: int = 1) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.image_size = image_size
        self.pack = pack
        self.stem = math.isqrt(int(autoencoder.config["in_channels"]) // 3)
        if 3 * self.stem**2 != int(autoencoder.config["in_channels"]):
            raise BundleError(
                f"an autoencoder takes 3 p^2 channels, this one takes {autoencoder.config['in_channels']}: "
                "it was not made for colour pictures"
            )
        self._shift = float(autoencoder.config.get("shift_factor") or 0.0)
        self._scale = float(autoencoder.config.get("scaling_factor") or 1.0)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.autoencoder.parameters()).device
        return device

    def encode(self, images_B3HW: Tensor) -> Tensor:
        """Latents of pictures; differentiable.

        Args:
            images_B3HW: (B, 3, H, W) float in [0, 1].

        Returns:
            (B, C, h, w) latents, scaled to about unit variance and packed, as the prior takes them.
        """
        folded = pixel_unshuffle(images_B3HW * 2 - 1, self.stem)
        encoded = self.autoencoder.encode(folded)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        return pixel_unshuffle((latents - self._shift) * self._scale, self.pack)

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Pictures of packed latents; differentiable.

        Returns:
            (B, 3, H, W) float, clipped to [0, 1].
        """
        latents = pixel_shuffle(latents_BCHW, self.pack) / self._scale + self._shift
        folded = self.autoencoder.decode(latents).sample
        return ((pixel_shuffle(folded, self.stem) + 1) / 2).clamp(0, 1)


def load_codec(folder: Path, *, image_size: int, pack: int, device: str = "cpu") -> LatentCodec:
    """Load the autoencoder of a bundle from its official folder.

    Args:
        folder: a diffusers autoencoder folder (``config.json``, ``*.safetensors``).
        image_size: side of the prior's pictures, pixels.
        pack: latent cells folded into channels along each side.
        device: torch device.

    Raises:
        BundleError: files missing, damaged or of another class.
    """
    import diffusers

    from lift3d_ray.models.files import load_pretrained, read_config

    name = read_config(folder).get("_class_name")
    if name == "AutoencoderTiny":
        model = load_pretrained(diffusers.AutoencoderTiny, folder)
    elif name == "AutoencoderKL":
        model = load_pretrained(diffusers.AutoencoderKL, folder)
    else:
        raise BundleError(f"{folder / 'config.json'} names {name!r}, wanted AutoencoderTiny or AutoencoderKL")
    return LatentCodec(model.float().to(device), image_size=image_size, pack=pack)
