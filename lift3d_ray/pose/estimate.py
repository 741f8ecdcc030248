"""Pose by redrawing: the view prior draws the subject from the photo's own side at several elevations.

The prior was trained to draw the whole subject in the unit ball, from absolute elevations, given a tight crop of
unknown elevation and zoom. Asked for the reference view itself (relative azimuth 0) it draws the photo again in the
canonical framing, and best at the elevation it believes in. Where the drawing's silhouette lies tells zoom and shift.
(The idea of trusting a novel-view model's own consistency for the elevation is One-2-3-45's, Liu et al. 2023.)

Shape suffixes: E candidates, D drawings a candidate, S picture side, C h w latents.
"""

from __future__ import annotations

import numpy as np
import torch

from lift3d_ray.cameras import Framing
from lift3d_ray.guidance.ddim import sample_ddim
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.roles import NoisePredictor
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.recipes import PoseConfig
from lift3d_ray.types import Bool, Float32, NoiseQuery, ReferencePose, Subject, ViewConditioning

DRAWN = 0.08
"""A drawn pixel belongs to the subject where a channel differs from white by more than this."""

ASSUMED_ELEVATION_DEG = 15.0
ASSUMED_FILL = 0.85
"""Without a view prior: a photo from slightly above, its subject filling so much of the canonical picture."""

_SMALLEST_ZOOM, _LARGEST_ZOOM = 0.7, 2.2


def assumed_pose(fill: float) -> ReferencePose:
    """The pose to go on without a view prior, for a crop whose subject fills this part of its side."""
    return ReferencePose(
        elevation_deg=ASSUMED_ELEVATION_DEG, framing=Framing(focal_scale=fill / ASSUMED_FILL), confidence=0.0
    )


def estimate_pose(
    subject: Subject,
    reference_latents_CHW: Float32,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: PoseConfig,
    *,
    generator: torch.Generator,
) -> ReferencePose:
    """Elevation, zoom and shift of the photo.

    Args:
        subject: the cut-out.
        reference_latents_CHW: its latents over white.
        prior: a view-conditioned prior.
        codec: its codec.
        schedule: its schedule.
        config: candidates and effort.
        generator: source of the drawings' noise.

    Returns:
        The pose; the elevation is the mean of the candidates, weighted by how well they redraw the photo.
    """
    pictures_EDS3 = _redraw(reference_latents_CHW, prior, codec, schedule, config, generator)
    size = pictures_EDS3.shape[2]
    box = _box((subject.alpha_HW > 0.5))
    candidates = [[_align(picture, box) for picture in drawings] for drawings in pictures_EDS3]
    errors_E = np.array(
        [
            np.mean([_difference(subject, picture, framing, size) for picture, framing in zip(p, f, strict=True)])
            for p, f in zip(pictures_EDS3, candidates, strict=True)
        ]
    )
    spread = max(float(errors_E.std()), 1e-6)
    weight_E = np.exp(-(errors_E - errors_E.min()) / (0.35 * spread))
    weight_E /= weight_E.sum()
    elevation = float(np.dot(weight_E, np.asarray(config.elevations_deg)))
    framings = np.array([[(f.focal_scale, f.shift_x, f.shift_y) for f in row] for row in candidates])
    zoom, shift_x, shift_y = np.einsum("e,ek->k", weight_E, np.median(framings, axis=1))
    return ReferencePose(
        elevation_deg=elevation,
        framing=Framing(focal_scale=float(zoom), shift_x=float(shift_x), shift_y=float(shift_y)),
        confidence=float(np.clip(1 - errors_E.min() / max(errors_E.mean(), 1e-6), 0, 1)),
    )


def _redraw(
    reference_latents_CHW: Float32,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: PoseConfig,
    generator: torch.Generator,
) -> Float32:
    """(E, D, S, S, 3) drawings in [0, 1]; every candidate starts from the same noise."""
    draws, candidates = config.draws, len(config.elevations_deg)
    noise = torch.randn((draws, *reference_latents_CHW.shape), generator=generator).numpy()
    count = draws * candidates
    query = NoiseQuery(
        noisy_latents_BCHW=np.tile(noise, (candidates, 1, 1, 1)),
        timesteps_B=np.zeros(count, dtype=np.int64),
        guidance_scale=config.scale,
        prompts=("",) * count,
        negative_prompts=("",) * count,
        view=ViewConditioning(
            reference_latents_BCHW=np.repeat(reference_latents_CHW[None], count, axis=0),
            azimuth_deg_B=np.zeros(count, dtype=np.float32),
            elevation_deg_B=np.repeat(np.asarray(config.elevations_deg, dtype=np.float32), draws),
        ),
    )
    clean = sample_ddim(prior, schedule, query, steps=config.steps)
    with torch.no_grad():
        pictures = codec.decode(torch.from_numpy(clean).to(codec.device)).cpu().permute(0, 2, 3, 1).numpy()
    return np.asarray(pictures.reshape(candidates, draws, *pictures.shape[1:]), dtype=np.float32)


def _box(mask_HW: Bool) -> Float32:
    """(4,) x0, x1, y0, y1 of a mask in half widths from the centre, x right, y up."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    half = mask_HW.shape[0] / 2
    return np.array(
        [columns[0] / half - 1, (columns[-1] + 1) / half - 1, 1 - (rows[-1] + 1) / half, 1 - rows[0] / half],
        dtype=np.float32,
    )


def _align(picture_SS3: Float32, box: Float32) -> Framing:
    """The framing that takes the drawing's bounding box to the crop's: the crop is the drawing, zoomed and shifted."""
    mask = (1 - picture_SS3.min(axis=-1)) > DRAWN
    if mask.sum() < 12:
        return Framing()
    drawn = _box(mask)
    zoom = float(np.sqrt((box[1] - box[0]) * (box[3] - box[2]) / ((drawn[1] - drawn[0]) * (drawn[3] - drawn[2]))))
    zoom = float(np.clip(zoom, _SMALLEST_ZOOM, _LARGEST_ZOOM))
    shift_x = float(box[0] + box[1] - zoom * (drawn[0] + drawn[1])) / 2
    shift_y = float(box[2] + box[3] - zoom * (drawn[2] + drawn[3])) / 2
    return Framing(focal_scale=zoom, shift_x=shift_x, shift_y=shift_y)


def _difference(subject: Subject, picture_SS3: Float32, framing: Framing, size: int) -> float:
    """Mean absolute difference between the drawing and the crop, brought into the drawing's framing over white."""
    crop = torch.from_numpy(subject.over(1.0).astype(np.float32) / 255).permute(2, 0, 1)[None]
    centre = (torch.arange(size, dtype=torch.float32) + 0.5) * 2 / size - 1
    x = centre * framing.focal_scale + framing.shift_x
    y = centre * framing.focal_scale - framing.shift_y
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    # Sampling 1 - crop with zero padding makes everything outside the crop white.
    seen = 1 - torch.nn.functional.grid_sample(1 - _shrunk(crop, size), grid, align_corners=False)
    return float(np.abs(seen[0].permute(1, 2, 0).numpy() - picture_SS3).mean())


def _shrunk(crop_13HW: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(crop_13HW, size=(2 * size, 2 * size), mode="area")
