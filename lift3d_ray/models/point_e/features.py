"""What a point cloud network sees of a picture: the grid of CLIP's last layer, place by place.

Point-E takes the 256 patch tokens of ViT-L/14 as they leave its last block. The embedded bundle's CLIP has a small
convolutional tower; its 16 tokens say what a thing is more than where it ends, so each comes with the tower's finer
stage at its place, and with that place, which a convolution hardly knows.

Shape suffixes: B pictures, T tokens, D their width, G side of the grid.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, pixel_unshuffle

from lift3d_ray.models.conv_encoder import ConvEncoder
from lift3d_ray.models.conv_vision import ConvVision
from lift3d_ray.models.image_encoder import ImageEncoder
from lift3d_ray.models.processors import normalize_pixels
from lift3d_ray.models.small_network import at_side

_PLACES = 6


class PictureGrid:
    """Pictures to the tokens that a network was trained with.

    Args:
        encoder: the bundle's CLIP, or its picture half.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder

    @property
    def width(self) -> int:
        """D."""
        tower = self._conv_tower()
        if tower is None:
            return int(cast(Any, self.encoder.model.config).hidden_size)
        finer, last = tower.stages[-2], tower.norm
        return int(last.num_features) + 4 * int(cast(Any, finer)[0][0].out_channels) + _PLACES

    def embed(self, images_B3HW: Tensor) -> Tensor:
        """(B, T, D) float32 tokens of (B, 3, S, S) pictures in [0, 1]."""
        model = self.encoder.model
        square = at_side(images_B3HW, self.encoder.image_size)
        pixels = normalize_pixels(square, self.encoder.processor).to(model.device, model.dtype)
        tower = self._conv_tower()
        if tower is not None:
            return conv_grid(tower, pixels).float()
        # The class token is not of the grid.
        tokens_BTD: Tensor = model(pixel_values=pixels).last_hidden_state[:, 1:]
        return tokens_BTD.float()

    def _conv_tower(self) -> ConvEncoder | None:
        tower = getattr(self.encoder.model, "vision_model", None)
        return tower.encoder if isinstance(tower, ConvVision) else None


def conv_grid(tower: ConvEncoder, pixels_B3HW: Tensor) -> Tensor:
    """(B, T, D) tokens of a convolutional tower: its embedding, the stage before its last, and the place."""
    scales = tower.scales(pixels_B3HW)
    embedding_BDGG = tower.merged(scales)
    side = embedding_BDGG.shape[-1]
    finer_BDGG = pixel_unshuffle(scales[-2].contiguous(), scales[-2].shape[-1] // side)
    parts = [_standardised(embedding_BDGG), _standardised(finer_BDGG)]
    places_TP = _places(side, like=pixels_B3HW)
    return torch.cat([*parts, places_TP.expand(len(pixels_B3HW), -1, -1)], dim=-1)


def _standardised(grid_BDGG: Tensor) -> Tensor:
    tokens_BTD = grid_BDGG.flatten(2).transpose(1, 2)
    return layer_norm(tokens_BTD, tokens_BTD.shape[-1:])


def _places(side: int, *, like: Tensor) -> Tensor:
    """(T, 6) right, down, and a half wave of each, of the cells' middles in [-1, 1]."""
    middles = (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5) * (2 / side) - 1
    down, right = torch.meshgrid(middles, middles, indexing="ij")
    both = torch.stack([right, down], dim=-1).flatten(0, 1)
    return torch.cat([both, (math.pi * both).sin(), (math.pi * both).cos()], dim=-1)
