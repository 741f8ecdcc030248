"""What refinement asks of a picture: the photo's colours in front, its look from elsewhere, a white background.

Features come from a trunk, any callable from pictures to tokens of their places: the bundle's own picture tower
(``ImageEncoder.embed``), or a larger network in its place. All losses are functions over values: tensors in, one scalar
tensor out, differentiable.

Shape suffixes: B pictures, T tokens, D their width, S picture side, N points.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, max_pool2d, normalize

Trunk = Callable[[Tensor], Tensor]
"""(B, 3, S, S) pictures in [0, 1] to (B, T, D) tokens, differentiable."""


def masked_error(picture_3SS: Tensor, wanted_3SS: Tensor, mask_SS: Tensor) -> Tensor:
    """Mean absolute error within a mask; 0 where the mask is empty.

    Args:
        picture_3SS: (3, S, S) colours.
        wanted_3SS: (3, S, S) the photo's.
        mask_SS: (S, S) weights in [0, 1].
    """
    weight = mask_SS.expand_as(picture_3SS)
    return ((picture_3SS - wanted_3SS).abs() * weight).sum() / weight.sum().clamp_min(1.0)


def white_background(pictures_B3SS: Tensor, covered_BSS: Tensor) -> Tensor:
    """Mean absolute distance from white where no point is near, ``|1 - x| (1 - M)``; M grown by two pixels.

    Args:
        pictures_B3SS: (B, 3, S, S) colours.
        covered_BSS: (B, S, S) share of each pixel that points cover.
    """
    around = max_pool2d(covered_BSS[:, None], kernel_size=5, stride=1, padding=2)
    return ((1 - pictures_B3SS).abs() * (1 - around)).mean()


def color_anchor(colors_N3: Tensor, first_N3: Tensor, weight_N: Tensor) -> Tensor:
    """Weighted mean squared distance of the points' colours from their first ones.

    Args:
        colors_N3: (N, 3) colours.
        first_N3: (N, 3) what they were.
        weight_N: (N,) how firmly each is held.
    """
    return ((colors_N3 - first_N3).square().mean(1) * weight_N).mean()


def dissimilarity(tokens_BTD: Tensor, reference_TD: Tensor, weight_B: Tensor) -> Tensor:
    """1 - cosine between the mean tokens of pictures and of the reference, weighted by picture.

    Args:
        tokens_BTD: (B, T, D) of the pictures.
        reference_TD: (T, D) of the reference.
        weight_B: (B,) how far each picture should look like it.
    """
    cosine = cosine_similarity(tokens_BTD.mean(1), reference_TD.mean(0)[None], dim=-1)
    return ((1 - cosine) * weight_B).mean()


def contextual(tokens_BTD: Tensor, reference_TD: Tensor, weight_B: Tensor, *, bandwidth: float = 0.5) -> Tensor:
    """Contextual loss (Mechrez et al. 2018): every token of the reference should be somewhere in the picture.

    Tokens are centred by the reference's mean and compared by cosine distance d, made relative to the nearest one,
    ``d / (min d + 1e-5)``, and soft-assigned with ``exp((1 - d) / h)``. Where a token is does not matter.

    Args:
        tokens_BTD: (B, T, D) of the pictures.
        reference_TD: (R, D) of the reference, at least 2 tokens.
        weight_B: (B,) how far each picture should look like it.
        bandwidth: h.
    """
    middle = reference_TD.mean(0)
    mine = normalize(tokens_BTD - middle, dim=-1)
    theirs = normalize(reference_TD - middle, dim=-1)
    distance_BTR = (1 - mine @ theirs.T).clamp_min(0.0)
    relative = distance_BTR / (distance_BTR.amin(-1, keepdim=True) + 1e-5)
    affinity = torch.softmax((1 - relative) / bandwidth, dim=-1)
    shared_B = affinity.amax(1).mean(-1)
    return (-(shared_B + 1e-5).log() * weight_B).mean()
