"""Novel views should be like the photo's subject in CLIP's eyes, the less the further they are turned away from it.

Asked of the render itself, and of the prior's clean estimate of it ("CLIP-D", Make-It-3D: Tang et al. 2023): at small
timesteps the estimate keeps the render's form and CLIP judges it, at large ones score distillation leads.
The estimate x0 = (z_t - sigma eps) / alpha has z_t = alpha z + sigma noise in it; with eps a constant, dx0/dz is the
identity, so the gradient passes the prior without asking it for one.

Shape suffixes: B views, C h w latents, D embedding, S picture side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lift3d_ray.cameras import wrap_deg
from lift3d_ray.conditioning.prompts import BACK_ABOVE_DEG
from lift3d_ray.types import Bool, Float32, Int64


class PictureEncoder(Protocol):
    """Pictures and sentences as unit vectors of one space; differentiable in the pictures (``models.clip``)."""

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) pictures in [0, 1]."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of B sentences."""
        ...


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What CLIP knows a subject by, embedded once a scene.

    Attributes:
        encoder: embeds what is compared to it.
        picture_D: (D,) unit vector of the photo's cut-out.
        words_D: (D,) unit vector of its caption.
    """

    encoder: PictureEncoder
    picture_D: Tensor
    words_D: Tensor


@torch.no_grad()
def likeness(encoder: PictureEncoder, picture_3SS: Tensor, caption: str) -> Likeness:
    """The likeness of a subject.

    Args:
        encoder: its weights should be frozen: nobody wants their gradients.
        picture_3SS: (3, S, S) in [0, 1], the subject over the background of the renders, no sharper than they are.
        caption: the subject in words.
    """
    return Likeness(
        encoder=encoder,
        picture_D=encoder.embed_images(picture_3SS[None])[0],
        words_D=encoder.embed_texts([caption])[0],
    )


def facing(azimuth_deg_B: Float32) -> Float32:
    """(B,) float32 weights ``1 - |azimuth| / 180``: the photo says nothing about the back (stable-dreamfusion).

    Args:
        azimuth_deg_B: (B,) degrees relative to the photo.
    """
    return np.asarray(1 - np.abs(wrap_deg(azimuth_deg_B)) / 180, dtype=np.float32)


def judged_by_clip(timesteps_B: Int64, azimuth_deg_B: Float32, below: int) -> Bool:
    """(B,) whether CLIP judges the clean estimate of a view: at small timesteps, but never of a back.

    Args:
        timesteps_B: (B,) of the schedule.
        azimuth_deg_B: (B,) degrees relative to the photo.
        below: timesteps below this are small.
    """
    return np.asarray((timesteps_B < below) & (np.abs(wrap_deg(azimuth_deg_B)) <= BACK_ABOVE_DEG))


def clip_distance(vectors_BD: Tensor, wanted_D: Tensor, weight_B: Tensor) -> Tensor:
    """``mean w (1 - cos)`` over views.

    Args:
        vectors_BD: (B, D) unit vectors.
        wanted_D: (D,) unit vector.
        weight_B: (B,) weights of the views.
    """
    return (weight_B.to(vectors_BD) * (1 - vectors_BD @ wanted_D)).mean()


def clean_latents(latents_BCHW: Tensor, estimate_BCHW: Tensor) -> Tensor:
    """The prior's clean estimate as what it is of the render's latents: its value, and the identity for a gradient.

    Args:
        latents_BCHW: (B, C, h, w) of the renders, with their graph.
        estimate_BCHW: (B, C, h, w) x0 under a noise prediction that counts as a constant.
    """
    return latents_BCHW + (estimate_BCHW - latents_BCHW).detach()
