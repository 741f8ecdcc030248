"""How a view-conditioned UNet is told what to look at and from where (after Zero-1-to-3, Liu et al. 2023).

Everything enters through doors that ``UNet2DConditionModel`` already has: the reference latents beside the noisy ones
as extra channels, the same latents with their positions as cross-attention tokens, and the asked pose as class
embedding. No module of our own is needed, and the folder on disk stays an official one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

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


def reference_tokens(reference_latents_BCHW: Tensor) -> Tensor:
    """One cross-attention token a latent cell: its channels and where it lies.

    Returns:
        (B, h * w, C + 16) float.
    """
    batch, _, height, width = reference_latents_BCHW.shape
    y = torch.linspace(-1, 1, height, device=reference_latents_BCHW.device)
    x = torch.linspace(-1, 1, width, device=reference_latents_BCHW.device)
    waves = [f(math.pi / 2 * k * axis) for axis in torch.meshgrid(y, x, indexing="ij") for k in (1, 2, 3, 4)
             for f in (torch.sin, torch.cos)]
    position = torch.stack(waves)[None].expand(batch, -1, -1, -1).to(reference_latents_BCHW.dtype)
    return torch.cat([reference_latents_BCHW, position], dim=1).flatten(2).transpose(1, 2)


def unet_inputs(
    noisy_BCHW: Tensor, reference_BCHW: Tensor, azimuth_deg_B: Tensor, elevation_deg_B: Tensor, keep_B: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample, tokens and class labels of one forward pass.

    Args:
        noisy_BCHW: (B, C, h, w) noisy latents.
        reference_BCHW: (B, C, h, w) latents of the reference pictures.
        azimuth_deg_B: (B,) relative azimuth, degrees.
        elevation_deg_B: (B,) absolute elevation, degrees.
        keep_B: (B,) bool, False where the reference is withheld (the unconditional branch). The pose stays.

    Returns:
        sample (B, 2C, h, w), encoder hidden states (B, h*w, C+16), class labels (B, 16).
    """
    keep = keep_B.to(noisy_BCHW.dtype)
    reference = reference_BCHW * keep[:, None, None, None]
    tokens = reference_tokens(reference) * keep[:, None, None]
    return torch.cat([noisy_BCHW, reference], dim=1), tokens, pose_features(azimuth_deg_B, elevation_deg_B)
