"""What CLIP asks of a step's novel views.

Shape suffixes: B views, S picture side, C h w latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lift3d_ray.guidance.clip_d import (
    Likeness,
    PictureEncoder,
    clean_latents,
    clip_distance,
    facing,
    judged_by_clip,
    likeness,
)
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize.scene import Scene, resized
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32, Int64, Subject


def subject_likeness(subject: Subject, caption: str, codec: LatentCodec, encoder: PictureEncoder) -> Likeness:
    """The likeness of a subject over white, at the size of the pictures that are compared to it."""
    picture = torch.from_numpy(resized(subject.over(1.0) / 255, codec.image_size)).permute(2, 0, 1)
    return likeness(encoder, picture.to(codec.device), caption)


def render_losses(scene: Scene, recipe: Recipe, picture_B3SS: Tensor, azimuth_B: Float32) -> dict[str, Tensor]:
    """CLIP's distance of the renders to the photo and to its caption, by name."""
    weights, known = recipe.losses, scene.likeness
    if known is None or not (weights.clip_image or weights.clip_text):
        return {}
    vectors_BD = known.encoder.embed_images(picture_B3SS)
    weight_B = torch.from_numpy(facing(azimuth_B))
    losses = {}
    if weights.clip_image:
        losses["clip_image"] = weights.clip_image * clip_distance(vectors_BD, known.picture_D, weight_B)
    if weights.clip_text:
        losses["clip_text"] = weights.clip_text * clip_distance(vectors_BD, known.words_D, weight_B)
    return losses


def views_for_clip(
    scene: Scene, recipe: Recipe, schedule: NoiseSchedule, timesteps_B: Int64, azimuth_B: Float32
) -> Tensor:
    """(B,) bool, whose clean estimates CLIP judges; the other views are distilled."""
    if scene.likeness is None or not recipe.losses.clip_denoised:
        return torch.zeros(len(timesteps_B), dtype=torch.bool)
    return torch.from_numpy(judged_by_clip(timesteps_B, azimuth_B, schedule.timestep(recipe.optimize.clip_below)))


def estimate_loss(
    scene: Scene, codec: LatentCodec, latents_BCHW: Tensor, estimate_BCHW: Tensor, azimuth_B: Float32
) -> Tensor:
    """CLIP-D: CLIP's distance of the decoded clean estimates to the photo.

    Args:
        scene: with its likeness.
        codec: decodes, with gradients.
        latents_BCHW: of the renders, with their graph.
        estimate_BCHW: the prior's clean estimates of them.
        azimuth_B: of the views, degrees relative to the photo.
    """
    assert scene.likeness is not None
    pictures_B3SS = codec.decode(clean_latents(latents_BCHW, estimate_BCHW))
    vectors_BD = scene.likeness.encoder.embed_images(pictures_B3SS)
    return clip_distance(vectors_BD, scene.likeness.picture_D, torch.from_numpy(facing(azimuth_B)))
