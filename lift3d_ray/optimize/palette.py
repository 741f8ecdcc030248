"""What a codec makes of flat colours: the bridge between a field of colours and a field of latents.

Shape suffixes: L colours along an axis of the lattice, F flat colours, C latent channels, N colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.types import Float32

LEVELS = 5
FLAT_PX = 64
"""Largest side of the flat pictures: a codec of large pictures needs no large ones to say what a colour becomes."""
_AT_ONCE = 25


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Flat colours and their latents.

    Attributes:
        latents_LLLC: (L, L, L, C) float32 what a picture of one colour is encoded to, away from its edges; indexed by
            red, green and blue, from 0 to 1.
    """

    latents_LLLC: Float32

    def latents_of(self, rgb_N3: Float32) -> Float32:
        """(N, C) float32 latents of colours in [0, 1], trilinear between those that were encoded."""
        places_3N = np.clip(rgb_N3, 0, 1).T * (len(self.latents_LLLC) - 1)
        channels = np.moveaxis(self.latents_LLLC, -1, 0)
        columns = [ndimage.map_coordinates(channel, places_3N, order=1, mode="nearest") for channel in channels]
        return np.asarray(np.stack(columns, axis=-1), dtype=np.float32)

    def colors_of(self, latents_NC: Float32) -> Float32:
        """(N, 3) float32 colours in [0, 1] of latents: a linear guess, which a decoder knows better."""
        lattice_F3 = _lattice(len(self.latents_LLLC))
        known_FC = self.latents_LLLC.reshape(len(lattice_F3), -1)
        affine, *_ = np.linalg.lstsq(_with_one(known_FC), lattice_F3, rcond=None)
        return np.asarray(np.clip(_with_one(latents_NC) @ affine, 0, 1), dtype=np.float32)


@torch.no_grad()
def flat_palette(codec: LatentCodec) -> Palette:
    """Encode flat pictures of colours all over the cube."""
    side, colors_F3 = min(codec.image_size, FLAT_PX), torch.from_numpy(_lattice(LEVELS))
    cells_FC = []
    for some_B3 in colors_F3.split(_AT_ONCE):
        encoded = codec.encode(some_B3[:, :, None, None].expand(-1, -1, side, side).to(codec.device)).float()
        cells_FC.append(encoded[:, :, encoded.shape[2] // 2, encoded.shape[3] // 2].cpu().numpy())
    return Palette(latents_LLLC=np.concatenate(cells_FC).reshape(LEVELS, LEVELS, LEVELS, -1).astype(np.float32))


def _lattice(levels: int) -> Float32:
    """(F, 3) colours, blue changing fastest."""
    axis = np.linspace(0, 1, levels, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def _with_one(values_NC: Float32) -> Float32:
    return np.concatenate([values_NC, np.ones_like(values_NC[:, :1])], axis=1)
