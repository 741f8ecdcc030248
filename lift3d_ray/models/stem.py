"""A convolutional stem for small image encoders, in the place of the one patch projection of a plain ViT.

"Early convolutions help transformers see better" (Xiao et al. 2021): a transformer small enough for this bundle spends
most of its training on finding edges, which convolutions find at once. Published encoders have no stem.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ConvStem(nn.Module):
    """Halves the picture once a width, a residual block after each; stands in for ``PatchEmbed``.

    Args:
        widths: channels of the scales, finest first; 2 ** len(widths) pixels make a token.
        dim: channels of the tokens.
    """

    def __init__(self, widths: tuple[int, ...], dim: int) -> None:
        super().__init__()
        before = (3, *widths)
        self.down = nn.ModuleList(
            nn.Conv2d(before[k], width, kernel_size=4 if k == 0 else 2, stride=2, padding=1 if k == 0 else 0)
            for k, width in enumerate(widths)
        )
        self.blocks = nn.ModuleList(_Residual(width) for width in widths)
        self.proj = nn.Conv2d(widths[-1], dim, kernel_size=1)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """(B, 3, H, W) standardised pixels to (B, H / p, W / p, dim) tokens, p = 2 ** len(widths)."""
        x = images_B3HW
        for down, block in zip(self.down, self.blocks, strict=True):
            x = block(down(x))
        tokens: Tensor = self.proj(x)
        return tokens.permute(0, 2, 3, 1)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(min(8, width // 4), width)
        self.conv = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.norm2 = nn.GroupNorm(min(8, width // 4), width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.gelu(self.norm2(self.conv(F.gelu(self.norm(x))))))
        return out
