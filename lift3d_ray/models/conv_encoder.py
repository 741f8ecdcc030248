"""A convolutional picture encoder for small models, in the place of the ViT of SAM, BLIP or CLIP.

A transformer small enough for the embedded bundle spends most of its training on finding edges, which convolutions
find at once; MobileSAM (Zhang et al. 2023) put a light hybrid in the same place. Residual stages go down (He et al.
2016), a feature pyramid brings what the coarse ones know back up (Lin et al. 2017). Published encoders are ViTs.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu


class ConvEncoder(nn.Module):
    """Pictures to image embeddings of a fraction of their side.

    Args:
        image_size: side of the square input, pixels; ``Sam`` reads it as ``img_size``.
        widths: channels of the stages, each half the side of the one before, the first at half the input's.
        out_channels: channels of the embedding.
        reduction: side of the input over side of the embedding: the side of one of the stages.
        deep_blocks: residual blocks of every stage from the third on, where pixels are few.
    """

    def __init__(
        self,
        image_size: int,
        widths: tuple[int, ...],
        out_channels: int,
        *,
        reduction: int = 8,
        deep_blocks: int = 2,
    ) -> None:
        super().__init__()
        self.img_size = image_size
        self._first = reduction.bit_length() - 2
        before = (3, *widths)
        blocks = [1, 1, *[deep_blocks] * (len(widths) - 2)][: len(widths)]
        self.stages = nn.ModuleList(
            nn.Sequential(_convolution(before[k], width, stride=2), *(_Residual(width) for _ in range(blocks[k])))
            for k, width in enumerate(widths)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in widths[self._first :])
        self.merges = nn.ModuleList(_Residual(out_channels) for _ in widths[self._first :])
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """(B, 3, S, S) standardised pixels to (B, out_channels, S / reduction, S / reduction)."""
        return self.merged(self.scales(images_B3HW))

    def scales(self, images_B3HW: Tensor) -> list[Tensor]:
        """What every stage makes of (B, 3, S, S) standardised pixels, the finest first."""
        from torch import channels_last

        x = images_B3HW.contiguous(memory_format=channels_last)
        scales = []
        for stage in self.stages:
            x = stage(x)
            scales.append(x)
        return scales

    def merged(self, scales: list[Tensor]) -> Tensor:
        """The embedding of a picture's scales, as of ``forward``."""
        merged: Tensor | None = None
        for scale, lateral, merge in reversed(
            list(zip(scales[self._first :], self.laterals, self.merges, strict=True))
        ):
            here = lateral(scale)
            if merged is not None:
                here = here + interpolate(merged, size=here.shape[-2:], mode="bilinear", align_corners=False)
            merged = merge(here)
        assert merged is not None
        embedding: Tensor = self.norm(merged)
        return embedding.contiguous()


def _convolution(inside: int, outside: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return relu(x + self.second(self.first(x)))
