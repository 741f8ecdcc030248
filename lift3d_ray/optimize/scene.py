"""What stays fixed while a field is optimised: the photo as rays, the words, the prior's reference.

Shape suffixes: P pixels, S picture side, C h w latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.conditioning.caption import split_view
from lift3d_ray.conditioning.prompts import View
from lift3d_ray.guidance.clip_d import Likeness
from lift3d_ray.models.image_encoder import ImageEncoder
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.optimize.latent_photo import LatentPhoto
from lift3d_ray.types import (
    CoarseShape,
    ColoredPoints,
    Float32,
    LearnedToken,
    Perception,
    ReferencePose,
    Subject,
    ViewReference,
)

REFERENCE_PX = 128
"""Side of the reference picture that the rays are drawn from."""


@dataclass(frozen=True, kw_only=True)
class ReferenceRays:
    """The subject's picture as rays, all on one device.

    Attributes:
        origins_P3, directions_P3: rays through the pixel centres, world.
        rgb_P3: sRGB in [0, 1], not premultiplied.
        alpha_P: coverage in [0, 1].
        disparity_P: relative inverse depth in [0, 1], near = 1.
        solid_P: pixels well inside the mask, where colour and depth are trusted.
    """

    origins_P3: Tensor
    directions_P3: Tensor
    rgb_P3: Tensor
    alpha_P: Tensor
    disparity_P: Tensor
    solid_P: Tensor


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One subject, ready to be optimised.

    Attributes:
        perception: what the models saw.
        pose: how the photo looks at it.
        c2w_44: the photo's camera.
        rays: its pixels.
        caption: the subject in words, without a view phrase; may name learned tokens.
        reference_view: the side the photo shows, where the caption said so.
        reference: the subject over white, as a view-conditioned prior takes it.
        coarse: the guessed solid behind the photo, or None without a model for it.
        learned: the learned tokens that the caption names.
        likeness: what CLIP knows the subject by, in recipes that ask it.
        points: the guessed cloud to start from instead, or None.
        cloud: the cloud, as it stands in the world, whose depth the prior is told; None = the field's own.
        latent: the photo in latents, in recipes whose field holds latents.
    """

    perception: Perception
    pose: ReferencePose
    c2w_44: Float32
    rays: ReferenceRays
    caption: str
    reference_view: View | None
    reference: ViewReference
    coarse: CoarseShape | None = None
    learned: tuple[LearnedToken, ...] = ()
    likeness: Likeness | None = None
    points: ColoredPoints | None = None
    cloud: ColoredPoints | None = None
    latent: LatentPhoto | None = None


def view_reference(subject: Subject, codec: LatentCodec, image_encoder: ImageEncoder | None) -> ViewReference:
    """The subject over white as latents, at the prior's own picture size, and as the image encoder sees it."""
    cut_out = subject.over(1.0)
    picture = resized(cut_out.astype(np.float32) / 255, codec.image_size)
    with torch.no_grad():
        latents = codec.encode(torch.from_numpy(picture).permute(2, 0, 1)[None].to(codec.device))
    return ViewReference(
        latents_CHW=np.asarray(latents[0].float().cpu().numpy(), dtype=np.float32),
        image_tokens_TD=None if image_encoder is None else image_encoder.tokens(cut_out),
    )


def prepare_scene(
    perception: Perception,
    pose: ReferencePose,
    reference: ViewReference,
    coarse: CoarseShape | None = None,
    points: ColoredPoints | None = None,
    *,
    likeness: Likeness | None = None,
    device: torch.device | str = "cpu",
) -> Scene:
    """Everything that does not change from step to step."""
    c2w = orbit_c2w(0.0, pose.elevation_deg)[0]
    caption, view = split_view(perception.caption)
    return Scene(
        perception=perception,
        pose=pose,
        c2w_44=c2w,
        rays=_reference_rays(perception, c2w, pose, device),
        caption=caption,
        reference_view=view,
        reference=reference,
        coarse=coarse,
        likeness=likeness,
        points=points,
    )


def _reference_rays(
    perception: Perception, c2w_44: Float32, pose: ReferencePose, device: torch.device | str
) -> ReferenceRays:
    subject = perception.subject
    origins, directions = pixel_rays(c2w_44[None], REFERENCE_PX, framing=pose.framing)
    alpha = resized(subject.alpha_HW[..., None], REFERENCE_PX)[..., 0]
    # Colours are averaged premultiplied, so that the background does not bleed in at the rim.
    premultiplied = resized(subject.rgb_HWC.astype(np.float32) / 255 * subject.alpha_HW[..., None], REFERENCE_PX)
    rgb = premultiplied / np.maximum(alpha, 1e-3)[..., None]
    disparity = resized(perception.disparity_HW[..., None], REFERENCE_PX)[..., 0]

    def flat(array: Float32, channels: int) -> Tensor:
        shape = (-1, channels) if channels > 1 else (-1,)
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).reshape(shape)).to(device)

    return ReferenceRays(
        origins_P3=flat(origins, 3),
        directions_P3=flat(directions, 3),
        rgb_P3=flat(np.clip(rgb, 0, 1), 3),
        alpha_P=flat(alpha, 1),
        disparity_P=flat(disparity, 1),
        solid_P=flat(alpha, 1) > 0.98,
    )


def resized(picture_HWC: NDArray[np.floating], size: int) -> Float32:
    """An (S, S, C) float picture at another size, area-averaged when shrinking, bilinear when enlarging."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture_HWC, dtype=np.float32)).permute(2, 0, 1)[None]
    smaller = size < picture_HWC.shape[0]
    result = (
        torch.nn.functional.interpolate(tensor, size=(size, size), mode="area")
        if smaller
        else torch.nn.functional.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False)
    )
    return np.asarray(result[0].permute(1, 2, 0).numpy(), dtype=np.float32)
