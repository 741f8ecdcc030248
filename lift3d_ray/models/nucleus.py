"""Nucleus sampling (Holtzman et al. 2020) from a generator of one's own.

The official ``generate`` draws from torch's global generator. Adding Gumbel noise to the logits that the nucleus keeps
and taking the largest draws from the same distribution, and the noise can come from anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import LogitsProcessorList


class GumbelNoise:
    """Logits to logits whose largest is a draw from the softmax of the former.

    Args:
        generator: on the CPU; the same draws whatever the device.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, V) scores of the next token, noised; those at minus infinity stay there."""
        uniform = torch.rand(tuple(scores.shape), generator=self._generator, dtype=torch.float64)
        waits = (-torch.log(uniform.clamp_min(1e-300))).clamp_min(1e-300)
        noise = -torch.log(waits)
        return scores.float() + noise.to(scores.device, torch.float32)


def nucleus_draws(nucleus: float, seed: int) -> LogitsProcessorList:
    """What turns greedy generation into nucleus sampling.

    Args:
        nucleus: probability mass that tokens are drawn from, in (0, 1].
        seed: of the draws.
    """
    from transformers import LogitsProcessorList, TopPLogitsWarper

    generator = torch.Generator().manual_seed(seed)
    return LogitsProcessorList([TopPLogitsWarper(nucleus), GumbelNoise(generator)])
