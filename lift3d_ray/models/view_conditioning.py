"""How a view-conditioned UNet is told what to look at and from where (after Zero-1-to-3, Liu et al. 2023).

Everything enters through doors that ``UNet2DConditionModel`` already has: the reference latents beside the noisy ones
as extra channels, the same latents with their positions as cross-attention tokens, and the asked pose as class
embedding. Where the bundle has an image encoder, what it sees joins both the tokens and the class embedding: it knows
what the thing is, which the UNet would have to learn anew from latents. No module of our own is needed, and the folder
on disk stays an official one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

POSE_FEATURES = 16
"""Width of ``pose_features``: ``projection_class_embeddings_input_dim`` of the UNet."""

POSITION_FEATURES = 16
"""Position features appended to every reference token."""


def pose_features(azimuth_deg_B: Tensor, elevation_deg_B: Tensor) -> Tensor:
    """Smooth, periodic features of the asked pose.

    Args:
        azimuth_deg_B: (B,) degrees relative to the reference view.
        elevation_deg_B: (B,) absolute degrees above the horizon.

    Returns:
        (B, 16) float32 in [-1, 1].
    """
    azimuth, elevation = torch.deg2rad(azimuth_deg_B.float()), torch.deg2rad(elevation_deg_B.float())
    turns = [f(k * azimuth) for k in (1, 2, 3, 4) for f in (torch.sin, torch.cos)]
    heights = [f(k * elevation) for k in (1, 2, 4) for f in (torch.sin, torch.cos)]
    mixed = [torch.sin(azimuth) * torch.cos(elevation), torch.cos(azimuth) * torch.cos(elevation)]
    return torch.stack([*turns, *heights, *mixed], dim=-1)


def unet_inputs(
    noisy_BCHW: Tensor,
    reference_BCHW: Tensor,
    azimuth_deg_B: Tensor,
    elevation_deg_B: Tensor,
    keep_B: Tensor,
    image_tokens_BTD: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample, tokens and class labels of one forward pass.

    Args:
        noisy_BCHW: (B, C, h, w) noisy latents.
        reference_BCHW: (B, C, h, w) latents of the reference pictures.
        azimuth_deg_B: (B,) relative azimuth, degrees.
        elevation_deg_B: (B,) absolute elevation, degrees.
        keep_B: (B,) bool, False where the reference is withheld (the unconditional branch). The pose stays.
        image_tokens_BTD: (B, T, D) what an image encoder sees in the references, T a square number, for a UNet that
            was trained with it.

    Returns:
        sample (B, 2C, h, w); encoder hidden states (B, h*w, C+16) and class labels (B, 16), or with image tokens
        (B, h*w + T, C+16+D) and (B, 16+D).
    """
    keep = keep_B.to(noisy_BCHW.dtype)
    reference = reference_BCHW * keep[:, None, None, None]
    tokens, labels = _placed(reference), pose_features(azimuth_deg_B, elevation_deg_B)
    if image_tokens_BTD is not None:
        tokens = _side_by_side(tokens, _placed(_as_grid(image_tokens_BTD)), image_tokens_BTD.shape[-1])
        labels = torch.cat([labels, image_tokens_BTD.mean(1) * keep[:, None]], dim=-1)
    return torch.cat([noisy_BCHW, reference], dim=1), tokens * keep[:, None, None], labels


def _placed(grid_BCHW: Tensor) -> Tensor:
    """(B, h * w, C + 16) one token a cell: its channels and where it lies."""
    batch, _, height, width = grid_BCHW.shape
    y = torch.linspace(-1, 1, height, device=grid_BCHW.device)
    x = torch.linspace(-1, 1, width, device=grid_BCHW.device)
    waves = [f(math.pi / 2 * k * axis) for axis in torch.meshgrid(y, x, indexing="ij") for k in (1, 2, 3, 4)
             for f in (torch.sin, torch.cos)]
    position = torch.stack(waves)[None].expand(batch, -1, -1, -1).to(grid_BCHW.dtype)
    return torch.cat([grid_BCHW, position], dim=1).flatten(2).transpose(1, 2)


def _as_grid(tokens_BTD: Tensor) -> Tensor:
    """(B, D, side, side) of tokens in rows."""
    batch, count, width = tokens_BTD.shape
    side = math.isqrt(count)
    if side**2 != count:
        raise ValueError(f"image tokens must form a square grid, got {count} of them")
    return tokens_BTD.transpose(1, 2).reshape(batch, width, side, side)


def _side_by_side(latent_tokens_BTD: Tensor, image_tokens_BTD: Tensor, image_width: int) -> Tensor:
    """Both kinds in one list, each kind's channels zero where the other's are; they share the position features."""
    latent_width = latent_tokens_BTD.shape[-1] - POSITION_FEATURES
    return torch.cat([pad(latent_tokens_BTD, (0, image_width)), _image_last(image_tokens_BTD, latent_width)], dim=1)


def _image_last(placed_BTD: Tensor, latent_width: int) -> Tensor:
    """Image tokens as (nothing for the latents, position, image)."""
    image, position = placed_BTD[..., :-POSITION_FEATURES], placed_BTD[..., -POSITION_FEATURES:]
    return torch.cat([pad(position, (latent_width, 0)), image], dim=-1)
