"""What of a scene is known in latents: the photo, what lies behind the subject, and how colours translate.

Shape suffixes: C latent channels, h w latent cells, H W pixels, P rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.cameras import CANONICAL, Framing, half_width, pixel_rays
from lift3d_ray.field.init import InitialField
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.optimize.palette import Palette, flat_palette
from lift3d_ray.types import Float32, ViewReference

CELL_RAYS = 2
"""Rays through a latent cell along each side; the cell is their mean. One alone would step over what is thin."""


@dataclass(frozen=True, kw_only=True)
class LatentPhoto:
    """The photo as a field of latents is held against it, all on one device.

    Attributes:
        photo_CHW: (C, h, w) latents of the subject over white.
        white_CHW: (C, h, w) latents of nothing but white: what stands behind the subject. The prior was trained on
            things before white. 3DFuse's constant 1.0 is some colour of the codec's choosing, which the prior would
            try to paint over.
        origins_P3, directions_P3: rays through the parts of the photo's cells, world.
        palette: what the codec makes of flat colours.
    """

    photo_CHW: Tensor
    white_CHW: Tensor
    origins_P3: Tensor
    directions_P3: Tensor
    palette: Palette

    @property
    def side(self) -> int:
        """Rays along a side of a view."""
        return int(self.white_CHW.shape[-1]) * CELL_RAYS

    def smoothing(self, voxel: float) -> float:
        """How much more neighbouring voxels must agree than where every pixel is seen: the voxels behind a cell.

        Steps between the voxels within a cell are told apart by nothing else, and add up to noise; so do the decoder's
        ideas of what they are.

        Args:
            voxel: distance between grid points, world units.
        """
        cell = 2 * half_width(CANONICAL) / int(self.white_CHW.shape[-1])
        return max(1.0, (cell / voxel) ** 2)

    def over_white(self, latents_PC: Tensor, opacity_P: Tensor) -> Tensor:
        """Views (B, C, h, w) over white, of the latents (P, C) over 0 and the opacity of their rays, view by view."""
        rays_PC = torch.cat([latents_PC, opacity_P[:, None]], dim=1)
        rays_BHWC = rays_PC.view(-1, self.side, self.side, rays_PC.shape[1])
        cells = torch.nn.functional.avg_pool2d(rays_BHWC.permute(0, 3, 1, 2), CELL_RAYS)
        return cells[:, :-1] + (1 - cells[:, -1:]) * self.white_CHW


@torch.no_grad()
def latent_photo(reference: ViewReference, c2w_44: Float32, framing: Framing, codec: LatentCodec) -> LatentPhoto:
    """The photo of a scene in latents.

    Args:
        reference: the photo's own latents.
        c2w_44: (4, 4) camera-to-world of the photo.
        framing: its zoom and shift.
        codec: knows white and colours.
    """
    blank = torch.ones((1, 3, codec.image_size, codec.image_size), device=codec.device)
    white_CHW = codec.encode(blank)[0].float()
    origins, directions = pixel_rays(c2w_44[None], white_CHW.shape[-1] * CELL_RAYS, framing=framing)
    return LatentPhoto(
        photo_CHW=torch.from_numpy(reference.latents_CHW).to(codec.device),
        white_CHW=white_CHW,
        origins_P3=torch.from_numpy(origins.reshape(-1, 3)).to(codec.device),
        directions_P3=torch.from_numpy(directions.reshape(-1, 3)).to(codec.device),
        palette=flat_palette(codec),
    )


def latent_start(guess: InitialField, palette: Palette, *, device: torch.device | str) -> VoxelField:
    """The first guess of a field, with the latents of its colours in their place."""
    rgb_V3 = np.asarray(1 / (1 + np.exp(-guess.raw_rgb_RRR3.reshape(-1, 3))), dtype=np.float32)
    values = np.concatenate([guess.raw_density_RRR.reshape(-1, 1), palette.latents_of(rgb_V3)], axis=1)
    return VoxelField(torch.from_numpy(values).to(device), latent=True)
