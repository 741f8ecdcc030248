"""Side tasks that teach a picture tower faster. They are not kept in the bundle."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lift3d_ray.toybox.training.phrases import CHOICES, UNSAID

_SIZES = [len(words) for words in CHOICES]


class AttributeHeads(nn.Module):
    """Side tasks: class, colours, pattern and view straight from the mean of the picture tokens.

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
