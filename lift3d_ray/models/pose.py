"""How a photo looks at its subject, in one look: a small regressor that the embedded bundle has beside the prior.

It answers in terms that do not depend on the crop: the elevation of the camera, and where the subject's bounding box
would lie in the canonical picture, the one that frames the unit ball. Where a bundle has no such model, the pose is
found by redrawing (``pose.estimate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.conv_vision import ConvVision
from lift3d_ray.models.small_network import at_side, load_network, one_picture
from lift3d_ray.types import UInt8

SPREAD = (15.0, 0.2, 0.1, 0.1)
"""Typical spread of elevation in degrees, log of the half side, centre x and y: the network's units."""
MIDDLE = (18.0, -0.35, 0.0, 0.0)
"""What a network that answers zero means."""


@dataclass(frozen=True, kw_only=True)
class CanonicalBox:
    """Where the camera stands and where it would see the subject.

    Attributes:
        elevation_deg: of the camera above the horizon.
        half: half the longer side of the subject's box in the canonical picture, in half pictures.
        center_x, center_y: the box's middle, in half pictures from the picture's middle, right and up.
    """

    elevation_deg: float
    half: float
    center_x: float
    center_y: float


class PoseNetwork(nn.Module):
    """A convolutional tower whose tokens, place by place, are read by a small perceptron.

    Args:
        image_size: side of the input, pixels.
        widths: channels of the tower's stages.
        hidden_size: channels of its tokens, and of the perceptron.
    """

    def __init__(self, *, image_size: int, widths: tuple[int, ...], hidden_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.facts: dict[str, object] = {"image_size": image_size, "widths": list(widths), "hidden_size": hidden_size}
        reduction = 2 ** len(widths)
        self.tower = ConvVision(image_size, widths, hidden_size, reduction=reduction)
        tokens = (image_size // reduction) ** 2
        self.read = nn.Sequential(nn.Linear(tokens * hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, 4))

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """(B, 3, S, S) pictures over white in [0, 1] to (B, 4): elevation, log half side, centre x, centre y (up)."""
        tokens_BTD = self.tower((images_B3HW - 0.5) / 0.5).last_hidden_state
        units_B4: Tensor = self.read(tokens_BTD.flatten(1))
        return units_B4 * units_B4.new_tensor(SPREAD) + units_B4.new_tensor(MIDDLE)


class PoseRegressor:
    """The network behind plain values.

    Args:
        network: its weights, on the CPU: it is small and asked once a scene.
    """

    def __init__(self, network: PoseNetwork) -> None:
        self._network = network.eval().requires_grad_(False)

    def estimate(self, rgb_HWC: UInt8) -> CanonicalBox:
        """Read the pose off a subject crop over white, (S, S, 3) uint8, the subject filling most of it."""
        with torch.no_grad():
            found = self._network(at_side(one_picture(rgb_HWC), self._network.image_size))[0].tolist()
        elevation, log_half, x, y = found
        return CanonicalBox(
            elevation_deg=float(np.clip(elevation, -30, 85)),
            half=float(np.clip(np.exp(log_half), 0.2, 1.0)),
            center_x=float(np.clip(x, -0.5, 0.5)),
            center_y=float(np.clip(y, -0.5, 0.5)),
        )


def load_pose(folder: Path) -> PoseRegressor:
    """Load ``config.json`` and ``model.safetensors``, float32, on the CPU.

    Raises:
        BundleError: a file missing, damaged, or not fitting the other.
    """
    return PoseRegressor(load_network(folder, PoseNetwork, "a pose regressor"))
