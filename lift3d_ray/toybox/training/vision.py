"""A good start for small vision transformers, and side tasks that teach them faster. Neither is kept in the bundle.

With the usual random start a patch's content drowns its place in the picture, and a white background drowns both.
Here patches are read through their lowest frequencies, centred and of equal spread, and places are sines of comparable
size, so that the first layer sees what is where from the first step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lift3d_ray.toybox.training.phrases import CHOICES

# Brightness and two colour differences.
_OPPONENT = ((0.577, 0.577, 0.577), (0.707, 0.0, -0.707), (0.408, -0.816, 0.408))
_SPREAD = 0.5
# Filters that hardly ever answer are not raised to full spread: they would raise the noise.
_LEAST_SPREAD = 0.1
_SIZES = [len(words) for words in CHOICES]


@torch.no_grad()
def read_low_frequencies(patch_embedding: nn.Conv2d, pixels_B3HW: Tensor) -> None:
    """Set a patch embedding to the lowest cosines of brightness and colour, with answers of mean 0 and spread 0.5.

    Args:
        patch_embedding: a convolution whose stride is its size, with a bias or without.
        pixels_B3HW: (B, 3, H, W) typical input, normalised as the model wants it.
    """
    width, _, side, _ = patch_embedding.weight.shape
    place = (torch.arange(side) + 0.5) * math.pi / side
    waves = [(u, v, c) for u in range(side) for v in range(side) for c in range(3)]
    # Colour in half the detail of brightness, as the eye has it.
    waves.sort(key=lambda wave: (wave[0] ** 2 + wave[1] ** 2) * (1 if wave[2] == 0 else 4))
    for row, (u, v, channel) in enumerate(waves[:width]):
        wave = torch.cos(u * place)[:, None] * torch.cos(v * place)[None]
        patch_embedding.weight[row] = torch.tensor(_OPPONENT[channel])[:, None, None] * wave / wave.norm()
    if patch_embedding.bias is not None:
        patch_embedding.bias.zero_()
    answers = patch_embedding(pixels_B3HW).transpose(0, 1).flatten(1)
    gain = _SPREAD / answers.std(1).clamp(min=_LEAST_SPREAD)
    patch_embedding.weight.mul_(gain[:, None, None, None])
    if patch_embedding.bias is not None:
        patch_embedding.bias.copy_(-answers.mean(1) * gain)


def sine_positions(side: int, width: int) -> Tensor:
    """(side * side, width) sines and cosines of row and column, spread 0.35, row by row of the picture."""
    frequency = math.pi * torch.exp2(torch.linspace(-1, math.log2(side / 2), width // 4))
    angle = torch.linspace(0, 1, side)[:, None] * frequency
    wave = _SPREAD * torch.cat([torch.sin(angle), torch.cos(angle)], 1)
    rows = wave[:, None, :].expand(side, side, width // 2)
    columns = wave[None, :, :].expand(side, side, width // 2)
    return torch.cat([rows, columns], -1).reshape(side * side, width)


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
        """Sum over the five words of their mean cross-entropies; rows as of ``phrases.word_rows``."""
        logits = self.read(self.norm(tokens_BTD.mean(1))).split(_SIZES, dim=1)
        losses = [cross_entropy(part.float(), words_B5[:, k]) for k, part in enumerate(logits)]
        return torch.stack(losses).sum()
