"""The deferred renderer: a small UNet of gated convolutions that turns drawn descriptors into a picture.

After neural point-based graphics (Aliev et al. 2020), as Make-It-3D uses it, with two changes. What it adds to the
points' own colours starts at nothing, so that refinement starts from the coarse result and not from noise. Channels
are normalised in groups within each picture, not over the batch: a batch of one would otherwise leave its own mean and
deviation as the only statistics.

Shape suffixes: B pictures, C channels of a descriptor, S picture side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate

COLORS = 3
"""The first channels of a descriptor are its colour."""
_GROUPS = 4


class DeferredRenderer(nn.Module):
    """Descriptors drawn at S, S / 2 and S / 4 to a picture.

    Args:
        channels: C, colours included.
        width: channels at full size; twice and four times as many further down.
        generator: draws the first weights.
    """

    def __init__(self, channels: int, *, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.top = _Gated(channels, width)
        self.middle = _Gated(width + channels, 2 * width)
        self.bottom = _Gated(2 * width + channels, 4 * width)
        self.up_middle = _Gated(6 * width, 2 * width)
        self.up_top = _Gated(3 * width, width)
        self.head = nn.Conv2d(width, COLORS, 1)
        _draw_weights(self, generator)
        nn.init.zeros_(self.head.weight)

    def forward(self, drawn: Sequence[Tensor]) -> Tensor:
        """Pictures of drawn points.

        Args:
            drawn: (B, C, S, S), (B, C, S/2, S/2) and (B, C, S/4, S/4); S a multiple of 4.

        Returns:
            (B, 3, S, S) colours; the drawn colours and a correction, not clipped.
        """
        first, second, third = drawn
        full = self.top(first)
        half = self.middle(torch.cat([avg_pool2d(full, 2), second], dim=1))
        quarter = self.bottom(torch.cat([avg_pool2d(half, 2), third], dim=1))
        half = self.up_middle(torch.cat([_doubled(quarter), half], dim=1))
        full = self.up_top(torch.cat([_doubled(half), full], dim=1))
        corrected: Tensor = first[:, :COLORS] + self.head(full)
        return corrected


class _Gated(nn.Module):
    """ELU(conv(x)) * sigmoid(conv(x)), normalised in groups (gated convolution: Yu et al. 2019)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.feature = nn.Conv2d(inside, outside, 3, padding=1)
        self.gate = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, outside)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.norm(elu(self.feature(x)) * torch.sigmoid(self.gate(x)))
        return gated


def _draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """First weights from the generator: PyTorch's own come from the global one."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
