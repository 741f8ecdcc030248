"""Coarse shape in one look: how far the subject reaches behind every pixel of its picture, and how its back looks.

Every pixel of the crop gets an occupancy along its ray, so the silhouette is the photo's own and only the depth has to
be guessed: a picture-to-picture task, which a small convolutional network learns quickly (after Richter and Roth 2018,
"Matryoshka Networks", who predict shapes as stacks of pictures too). It stands where Anything-3D has Point-E. A bundle
without it starts from the inflated silhouette.

Shape suffixes: B pictures, S side of the grid, D slices.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.conv_encoder import ConvEncoder
from lift3d_ray.models.small_network import at_side, load_network, one_picture
from lift3d_ray.types import CoarseShape, UInt8

SIDE = 32
"""Cells along a side of the crop."""
SLICES = 32
"""Slices of the depth range."""
DEPTH_REACH = 1.3
"""Half the depth range over half the crop's width: room for most subjects that are deeper than they look."""


class CoarseNetwork(nn.Module):
    """A convolutional pyramid down and up again, read cell by cell.

    Args:
        image_size: side of the input, pixels.
        widths: channels of the pyramid's stages.
        hidden_size: channels on the way up.
        deep_blocks: residual blocks of the narrow stages.
    """

    def __init__(self, *, image_size: int, widths: tuple[int, ...], hidden_size: int, deep_blocks: int = 2) -> None:
        super().__init__()
        self.image_size = image_size
        self.facts: dict[str, object] = {
            "image_size": image_size,
            "widths": list(widths),
            "hidden_size": hidden_size,
            "deep_blocks": deep_blocks,
        }
        self.encoder = ConvEncoder(
            image_size, widths, hidden_size, reduction=image_size // SIDE, deep_blocks=deep_blocks
        )
        self.read = nn.Sequential(
            nn.Conv2d(hidden_size, 2 * hidden_size, 1), nn.ReLU(), nn.Conv2d(2 * hidden_size, SLICES + 3, 1)
        )

    def forward(self, images_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) pictures over white in [0, 1] to occupancy logits (B, D, 32, 32) and back colours' logits."""
        answer = self.read(self.encoder((images_B3HW - 0.5) / 0.5))
        return answer[:, :SLICES], answer[:, SLICES:]


class CoarseEstimator:
    """The network behind plain values.

    Args:
        network: its weights, on the CPU: it is small and asked once a scene.
    """

    def __init__(self, network: CoarseNetwork) -> None:
        self._network = network.eval().requires_grad_(False)

    def estimate(self, rgb_HWC: UInt8) -> CoarseShape:
        """Guess the solid behind a subject crop over white, (S, S, 3) uint8, the subject filling most of it.

        Asked of the picture and of its mirror image, whose mean errs less: 0.006 more IoU on held-out toys.
        """
        picture_13HW = at_side(one_picture(rgb_HWC), self._network.image_size)
        with torch.no_grad():
            straight = torch.cat(self._network(picture_13HW), 1)
            mirrored = torch.cat(self._network(picture_13HW.flip(-1)), 1).flip(-1)
        answer = torch.sigmoid((straight + mirrored)[0] / 2).permute(1, 2, 0).numpy()
        return CoarseShape(
            filled_SSD=np.ascontiguousarray(answer[..., :SLICES]),
            back_rgb_SSC=np.ascontiguousarray(answer[..., SLICES:]),
            depth_reach=DEPTH_REACH,
        )


def load_coarse_network(folder: Path) -> CoarseNetwork:
    """Load ``config.json`` and ``model.safetensors``, float32, on the CPU.

    Raises:
        BundleError: a file missing, damaged, or not fitting the other.
    """
    return load_network(folder, CoarseNetwork, "a coarse shape model")


def load_coarse(folder: Path) -> CoarseEstimator:
    """The network of a folder, behind plain values; errors as of ``load_coarse_network``."""
    return CoarseEstimator(load_coarse_network(folder))
