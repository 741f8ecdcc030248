"""The embedded autoencoder: an ``AutoencoderTiny`` on 4x4 pixel patches that starts as a principal component analysis.

The class is TAESD's. Its blocks end in a ReLU, so a linear path is laid *inside* it at the start: every component goes
in as a pair of channels (+c, -c), passes the ReLUs as such, and comes out as their difference. Training starts from an
exact PCA codec instead of noise, which is worth far more than any other choice measured here (see the model card).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lift3d_ray.toybox.training.sheets import picture_grid
from lift3d_ray.types import UInt8

STEM = 4
LATENT_CHANNELS = 12
LATENT_STD = 0.5
LATENT_NOISE = 0.05
"""Noise on the latents while training, in their standard deviations: what a prior draws is never exact."""
SQUARED_SHARE = 0.8
"""Of the root mean square error in the loss, the rest is the mean absolute error. All absolute reached 0.33 dB less
after 1000 steps from the same start."""

Batch = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


def new_autoencoder(width: int = 64, encoder_blocks: int = 3, decoder_blocks: int = 7) -> Any:
    """An untrained ``AutoencoderTiny`` for (B, 48, 16, 16) folded pictures, 12 latent channels at 16x16."""
    from diffusers import AutoencoderTiny

    channels = 3 * STEM**2
    return AutoencoderTiny(
        in_channels=channels,
        out_channels=channels,
        encoder_block_out_channels=(width,),
        decoder_block_out_channels=(width,),
        num_encoder_blocks=(encoder_blocks,),
        num_decoder_blocks=(decoder_blocks,),
        latent_channels=LATENT_CHANNELS,
    )


def principal_patches(images_B3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (48,), leading directions (12, 48) and their standard deviations (12,) of folded patches in [0, 1]."""
    patches = pixel_unshuffle(images_B3HW, STEM).permute(0, 2, 3, 1).reshape(-1, 3 * STEM**2).double()
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    directions = vectors.T.flip(0)[:LATENT_CHANNELS]
    return mean.float(), directions.float(), values.flip(0)[:LATENT_CHANNELS].sqrt().float()


@torch.no_grad()
def lay_linear_path(autoencoder: Any, images_B3HW: Tensor) -> None:
    """Set the weights so that the model starts as the PCA codec of these pictures, (B, 3, 64, 64) in [0, 1]."""
    mean, directions, std = principal_patches(images_B3HW)
    # Half whitening: full whitening gives the last component's noise as much room as the first one's picture.
    scale = LATENT_STD / (std * std.mean()).sqrt()
    encoder, decoder = autoencoder.encoder.layers, autoencoder.decoder.layers
    for module in (*encoder, *decoder):
        if hasattr(module, "conv") and isinstance(module.conv, nn.Sequential):
            last: Any = module.conv[-1]
            last.weight.zero_()
            last.bias.zero_()
    pairs = torch.cat([directions, -directions])
    _set_centre(encoder[0], rows=range(2 * LATENT_CHANNELS), weight=pairs, bias=-pairs @ mean)
    difference = torch.cat([torch.diag(scale), -torch.diag(scale)], dim=1)
    encoder[-1].weight.zero_()
    _set_centre(encoder[-1], rows=range(LATENT_CHANNELS), weight=difference, bias=torch.zeros(LATENT_CHANNELS))
    _set_centre(
        decoder[0],
        rows=range(2 * LATENT_CHANNELS),
        weight=torch.cat([torch.eye(LATENT_CHANNELS), -torch.eye(LATENT_CHANNELS)]),
        bias=torch.zeros(2 * LATENT_CHANNELS),
    )
    back = (directions / scale[:, None]).T
    decoder[-1].weight.zero_()
    _set_centre(decoder[-1], rows=range(3 * STEM**2), weight=torch.cat([back, -back], dim=1), bias=mean)


def _set_centre(conv: nn.Conv2d, *, rows: range, weight: Tensor, bias: Tensor) -> None:
    """Write a 1x1 kernel into the centre of a 3x3 one, for some output rows and the leading input columns."""
    index = list(rows)
    conv.weight[index, : weight.shape[1]] = 0
    conv.weight[index, : weight.shape[1], 1, 1] = weight
    assert conv.bias is not None
    conv.bias[index] = bias


def reconstruct(autoencoder: Any, images_B3HW: Tensor, noise: float = 0.0) -> Tensor:
    """Round trip of (B, 3, H, W) pictures in [0, 1], with Gaussian noise of this standard deviation on the latents."""
    return _decoded(autoencoder, autoencoder.encode(_folded(images_B3HW)).latents, noise)


def _folded(images_B3HW: Tensor) -> Tensor:
    """(B, 48, H / 4, W / 4) in [-1, 1]: what the encoder reads."""
    return pixel_unshuffle(images_B3HW * 2 - 1, STEM)


def _decoded(autoencoder: Any, latents_BCHW: Tensor, noise: float) -> Tensor:
    """Pictures of latents with noise on them."""
    if noise > 0:
        latents_BCHW = latents_BCHW + noise * torch.randn_like(latents_BCHW)
    return (pixel_shuffle(autoencoder.decode(latents_BCHW).sample, STEM) + 1) / 2


class CodecTask:
    """Round trips of renders over white and coloured backgrounds, some blurred and half transparent.

    Score distillation feeds the encoder unfinished, foggy renders: the blurred and faded ones stand for them.

    Args:
        batch: draws (n, 3, 64, 64) pictures in [0, 1] and their (n, 1, 64, 64) coverage.
        held_out: fixed held-out pictures and coverage of the same shapes.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(self, batch: Batch, held_out: tuple[Tensor, Tensor], *, batch_size: int = 16, seed: int = 0) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._batch, self._held_out, self._size = batch, held_out, batch_size
        self.autoencoder = new_autoencoder()
        lay_linear_path(self.autoencoder, batch(np.random.default_rng([seed, 1]), 2048)[0])
        self.autoencoder.to(memory_format=torch.channels_last)

    def modules(self) -> dict[str, nn.Module]:
        """The autoencoder."""
        return {"autoencoder": self.autoencoder}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pictures and their coverage."""
        return self._batch(rng, self._size)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Round trip error, foreground counted three times."""
        images, alpha = batch
        output = reconstruct(self.autoencoder, images, noise=LATENT_NOISE * LATENT_STD)
        return round_trip_loss(output.float(), images, alpha), {}

    def validate(self) -> dict[str, float]:
        """PSNR in dB, overall and inside the mask."""
        images, alpha = self._held_out
        output = torch.cat([reconstruct(self.autoencoder, part) for part in images.split(64)]).clamp(0, 1)
        error = (output - images) ** 2
        inside = (error * alpha).sum() / (alpha.sum() * 3)
        return {"psnr": _decibel(error.mean()), "psnr_foreground": _decibel(inside)}

    def sheet(self) -> UInt8:
        """Held-out pictures above their round trips."""
        images = self._held_out[0][:16]
        output = reconstruct(self.autoencoder, images).clamp(0, 1)
        return picture_grid([images, output], columns=8)


def _decibel(mean_square: Tensor) -> float:
    return float(-10 * torch.log10(mean_square.detach()))


def round_trip_loss(output_B3HW: Tensor, images_B3HW: Tensor, alpha_B1HW: Tensor) -> Tensor:
    """Mean absolute and root mean square error, foreground counted three times."""
    weights = (1 + 2 * alpha_B1HW) / (1 + 2 * alpha_B1HW).mean()
    error = output_B3HW - images_B3HW
    absolute, squared = (error.abs() * weights).mean(), (error.square() * weights).mean()
    return (1 - SQUARED_SHARE) * absolute + SQUARED_SHARE * squared.add(1e-8).sqrt()


class NearbyCodecTask(CodecTask):
    """More training for a codec whose latents are already in use: they are held near to what the priors know.

    A decoder trained alone, behind a frozen encoder, gained 0.3 dB in 1800 steps and stood still; encoder and decoder
    together go on, and their latents move by less than a tenth of their deviation.

    Args:
        autoencoder: the codec to go on from.
        batch: as of ``CodecTask``.
        held_out: as of ``CodecTask``.
        batch_size: pictures a step.
        anchor: weight of the latents' mean squared distance to the old ones.
    """

    def __init__(
        self,
        autoencoder: Any,
        batch: Batch,
        held_out: tuple[Tensor, Tensor],
        *,
        batch_size: int = 16,
        anchor: float = 0.05,
    ) -> None:
        self._batch, self._held_out, self._size, self._anchor = batch, held_out, batch_size, anchor
        self.autoencoder = autoencoder.requires_grad_(True).to(memory_format=torch.channels_last)
        self._old = copy.deepcopy(autoencoder.encoder).eval().requires_grad_(False)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The round trip error, and how far the latents have moved."""
        images, alpha = batch
        self._old.to(images.device)
        folded = _folded(images)
        latents = self.autoencoder.encode(folded).latents
        output = _decoded(self.autoencoder, latents, LATENT_NOISE * LATENT_STD)
        moved = (latents - self._old(folded)).float().square().mean()
        loss = round_trip_loss(output.float(), images, alpha) + self._anchor * moved
        return loss, {"moved": moved.detach().sqrt()}


class PictureSource:
    """Draws training pictures from rendered views: over white or colours, some blurred, some faded.

    Args:
        rgba: (n, 64, 64, 4) uint8 pictures over white, with coverage.
    """

    def __init__(self, rgba: UInt8) -> None:
        self._rgba = rgba

    def __call__(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """(count, 3, 64, 64) pictures in [0, 1] and (count, 1, 64, 64) coverage."""
        chosen = torch.from_numpy(self._rgba[rng.integers(len(self._rgba), size=count)]).permute(0, 3, 1, 2).float()
        rgb, alpha = chosen[:, :3] / 255, chosen[:, 3:] / 255
        premultiplied = rgb - (1 - alpha)
        blurred = torch.from_numpy(rng.random(count) < 0.2)
        both = torch.cat([premultiplied, alpha], dim=1)
        both[blurred] = gaussian_blur(both[blurred], float(rng.uniform(0.6, 2.5)))
        faded = np.where(rng.random(count) < 0.15, rng.uniform(0.2, 0.9, count), 1.0).astype(np.float32)
        both = both * torch.from_numpy(faded)[:, None, None, None]
        coloured = rng.random((count, 1)) < 0.3
        colour = np.where(coloured, rng.random((count, 3)), 1.0).astype(np.float32)
        background = torch.from_numpy(colour)[:, :, None, None]
        return both[:, :3] + (1 - both[:, 3:]) * background, alpha


def gaussian_blur(images_BCHW: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur, edges replicated."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    batch, channels, height, width = images_BCHW.shape
    flat = images_BCHW.reshape(batch * channels, 1, height, width)
    padded = nn.functional.pad(flat, (radius,) * 4, mode="replicate")
    across = nn.functional.conv2d(padded, kernel[:, :, None, :])
    return nn.functional.conv2d(across, kernel[:, :, :, None]).reshape(images_BCHW.shape)
