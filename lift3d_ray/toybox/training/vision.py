"""The convolutional picture tower that several roles have alike, and side tasks that teach it faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lift3d_ray.toybox.training.phrases import CHOICES, UNSAID

IMAGE_SIZE = 64
TOKEN_WIDTH = 128
TOWER_WIDTHS = [24, 48, 96, 160]
_SIZES = [len(words) for words in CHOICES]


def tower_config() -> dict[str, object]:
    """The ``vision_config`` of the tower: 64x64 pixels to 4x4 tokens of 128, 1.8 M parameters."""
    return {
        "image_size": IMAGE_SIZE,
        "hidden_size": TOKEN_WIDTH,
        # Of the transformer that the tower stands in for.
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "conv_widths": TOWER_WIDTHS,
    }


class AttributeHeads(nn.Module):
    """Side tasks, not kept in the bundle: class, colours, pattern and view from the mean of the picture tokens.

    Args:
        width: of the picture tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, sum(_SIZES))

    def forward(self, tokens_BTD: Tensor, words_B5: Tensor) -> Tensor:
        """Sum over the five words of their mean cross-entropies; rows as of ``phrases.word_rows``, or ``UNSAID``."""
        logits = self.read(self.norm(tokens_BTD.mean(1))).split(_SIZES, dim=1)
        losses = [cross_entropy(part.float(), words_B5[:, k], ignore_index=UNSAID) for k, part in enumerate(logits)]
        return torch.stack(losses).sum()
