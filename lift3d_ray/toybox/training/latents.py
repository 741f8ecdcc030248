"""Latents of the toy views, computed once: what the priors are trained on.

Shape suffixes: N toys, T targets, R references, C h w latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lift3d_ray.models.image_encoder import ImageEncoder
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.toybox.training.views import ViewSet, join_views
from lift3d_ray.types import UInt8


@dataclass(frozen=True, kw_only=True)
class LatentViews:
    """A ``ViewSet`` through the codec.

    Attributes:
        views: the pictures, poses and captions.
        target_NTCHW: float16 latents of the targets over white.
        reference_NRCHW: float16 latents of the references over white.
        reference_NRTD: float16 image tokens of the references, or None.
    """

    views: ViewSet
    target_NTCHW: Tensor
    reference_NRCHW: Tensor
    reference_NRTD: Tensor | None = None


def join_latents(first: LatentViews, second: LatentViews) -> LatentViews:
    """The toys of both."""
    tokens = None
    if first.reference_NRTD is not None and second.reference_NRTD is not None:
        tokens = torch.cat([first.reference_NRTD, second.reference_NRTD])
    return LatentViews(
        views=join_views(first.views, second.views),
        target_NTCHW=torch.cat([first.target_NTCHW, second.target_NTCHW]),
        reference_NRCHW=torch.cat([first.reference_NRCHW, second.reference_NRCHW]),
        reference_NRTD=tokens,
    )


def over_white(rgba: UInt8) -> Tensor:
    """(..., H, W, 4) uint8 pictures, already over white, to (n, 3, H, W) float32 in [0, 1]."""
    flat = rgba.reshape(-1, *rgba.shape[-3:])[..., :3]
    return torch.from_numpy(np.ascontiguousarray(flat)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def encode_views(
    views: ViewSet, codec: LatentCodec, image_encoder: ImageEncoder | None = None, *, chunk: int = 512
) -> LatentViews:
    """Latents of every target and reference, at the codec's picture size, and image tokens of the references."""

    def each(rgba: UInt8, encode: Callable[[Tensor], Tensor]) -> Tensor:
        lead, flat = rgba.shape[:2], rgba.reshape(-1, *rgba.shape[2:])
        parts = [over_white(flat[k : k + chunk]).to(codec.device) for k in range(0, len(flat), chunk)]
        joined = torch.cat([encode(part).half().cpu() for part in parts])
        return joined.reshape(*lead, *joined.shape[1:])

    def latents(pictures_B3HW: Tensor) -> Tensor:
        return codec.encode(interpolate(pictures_B3HW, size=[codec.image_size] * 2, mode="area"))

    return LatentViews(
        views=views,
        target_NTCHW=each(views.target_rgba, latents),
        reference_NRCHW=each(views.reference_rgba, latents),
        reference_NRTD=None if image_encoder is None else each(views.reference_rgba, image_encoder.embed),
    )
