"""Pose by redrawing: the view prior is asked for the photo's own side, and shows what it believes about the pose.

The prior was trained to draw the whole subject in the unit ball, from absolute elevations, given a tight crop of
unknown elevation and zoom. Asked for the reference view itself (relative azimuth 0) it draws the photo again in the
canonical framing: where the drawing lies tells zoom and shift. The photo, brought into that framing and noised, is then
denoised under several elevations: the one under which the prior predicts the noise best is the photo's. (Trusting a
novel-view model for the elevation is One-2-3-45's idea, Liu et al. 2023; judging it by the denoising error is the
diffusion classifier's, Li et al. 2023.)

Shape suffixes: E candidates, D drawings or noises a candidate, S picture side, C h w latents.
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
from lift3d_ray.types import Float32, Int64, NoiseQuery, ReferencePose, Subject, ViewReference

INK = (0.2, 0.4)
"""A pixel counts for nothing where it differs from white by less than the first, in full from the second on."""

NOISE_FRACTIONS = (0.35, 0.6)
"""Noise levels at which the elevations are compared: enough noise to need the pose, enough signal to show it."""

TEMPERATURE = 0.015
"""Relative excess error at which a candidate's say falls to 1 / e."""

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
    reference: ViewReference,
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
        reference: the cut-out as the prior takes it.
        prior: a view-conditioned prior.
        codec: its codec.
        schedule: its schedule.
        config: candidates and effort.
        generator: source of the drawings' noise.

    Returns:
        The pose; the elevation is the mean of the candidates, weighted by how well they explain the photo.
    """
    crop = _crop_picture(subject, 2 * codec.image_size)

    def frame(elevation_deg: float) -> Framing:
        drawing = _redraw(reference, elevation_deg, prior, codec, schedule, config, generator)
        return _align(drawing, crop)

    photo = torch.from_numpy(_reframed(crop, frame(ASSUMED_ELEVATION_DEG), codec.image_size))
    with torch.no_grad():
        latents = codec.encode(photo.permute(2, 0, 1)[None].to(codec.device))[0].float().cpu().numpy()
    errors_E = _denoising_errors(latents, reference, prior, schedule, config, generator)
    weight_E = np.exp(-(errors_E - errors_E.min()) / (TEMPERATURE * errors_E.mean()))
    weight_E /= weight_E.sum()
    elevation = float(weight_E @ np.asarray(config.elevations_deg))
    return ReferencePose(
        elevation_deg=elevation,
        framing=frame(elevation),
        confidence=float(np.clip(1 - errors_E.min() / errors_E.mean(), 0, 1)),
    )


def _redraw(
    reference: ViewReference,
    elevation_deg: float,
    prior: NoisePredictor,
    codec: LatentCodec,
    schedule: NoiseSchedule,
    config: PoseConfig,
    generator: torch.Generator,
) -> Float32:
    """(S, S, 3) mean of several drawings of the photo's own side, in [0, 1]."""
    noise = torch.randn((config.draws, *reference.latents_CHW.shape), generator=generator).numpy()
    elevations = np.full(config.draws, elevation_deg, dtype=np.float32)
    query = _query(noise, np.zeros(config.draws, dtype=np.int64), reference, elevations)
    clean = sample_ddim(prior, schedule, query, steps=config.steps)
    with torch.no_grad():
        pictures = codec.decode(torch.from_numpy(clean).to(codec.device)).cpu().permute(0, 2, 3, 1).numpy()
    return np.asarray(pictures.mean(axis=0), dtype=np.float32)


def _denoising_errors(
    latents_CHW: Float32,
    reference: ViewReference,
    prior: NoisePredictor,
    schedule: NoiseSchedule,
    config: PoseConfig,
    generator: torch.Generator,
) -> Float32:
    """(E,) mean squared error of the noise prediction under each candidate, from the same noises."""
    candidates, noises = len(config.elevations_deg), config.noises
    elevations = np.repeat(np.asarray(config.elevations_deg, dtype=np.float32), noises)
    errors = np.zeros(candidates, dtype=np.float32)
    for fraction in NOISE_FRACTIONS:
        drawn = torch.randn((noises, *latents_CHW.shape), generator=generator).numpy()
        noise = np.tile(drawn, (candidates, 1, 1, 1))
        timesteps = np.full(len(noise), schedule.timestep(fraction), dtype=np.int64)
        noisy = schedule.signal(timesteps) * latents_CHW + schedule.noise(timesteps) * noise
        answer = prior.predict_noise(
            _query(np.asarray(noisy, dtype=np.float32), timesteps, reference, elevations)
        )
        error = ((answer.noise_BCHW - noise) ** 2).mean(axis=(1, 2, 3)).reshape(candidates, noises).mean(axis=1)
        errors += error / max(float(error.mean()), 1e-12)
    return errors


def _query(
    noisy_BCHW: Float32, timesteps_B: Int64, reference: ViewReference, elevation_deg_B: Float32
) -> NoiseQuery:
    """The photo's own side, without guidance."""
    count = len(noisy_BCHW)
    return NoiseQuery(
        noisy_latents_BCHW=noisy_BCHW,
        timesteps_B=timesteps_B,
        guidance_scale=1.0,
        prompts=("",) * count,
        negative_prompts=("",) * count,
        view=reference.towards(np.zeros(count, dtype=np.float32), elevation_deg_B),
    )


def _crop_picture(subject: Subject, size: int) -> Float32:
    """(size, size, 3) the subject over white, area-averaged."""
    picture = torch.from_numpy(subject.over(1.0).astype(np.float32) / 255).permute(2, 0, 1)[None]
    smaller = torch.nn.functional.interpolate(picture, size=(size, size), mode="area")
    return np.asarray(smaller[0].permute(1, 2, 0).numpy(), dtype=np.float32)


def _moments(picture_SS3: Float32) -> tuple[float, float, float]:
    """Area and centre of what differs from white: share of the picture, and half widths from its middle, y up."""
    low, high = INK
    weight = np.clip(((1 - picture_SS3.min(axis=-1)) - low) / (high - low), 0, 1)
    total = max(float(weight.sum()), 1e-6)
    axis = (np.arange(len(weight)) + 0.5) * 2 / len(weight) - 1
    return total / weight.size, float(weight.sum(axis=0) @ axis) / total, -float(weight.sum(axis=1) @ axis) / total


def _align(picture_SS3: Float32, crop_SS3: Float32) -> Framing:
    """The framing under which the drawing covers the crop: the same area and centre, measured alike in both.

    Subjects that are partly white lose the same parts in both pictures, and single specks weigh little, which a
    bounding box would not forgive.
    """
    drawn_area, drawn_x, drawn_y = _moments(picture_SS3)
    area, x, y = _moments(crop_SS3)
    zoom = float(np.clip(np.sqrt(area / max(drawn_area, 1e-6)), _SMALLEST_ZOOM, _LARGEST_ZOOM))
    return Framing(focal_scale=zoom, shift_x=x - zoom * drawn_x, shift_y=y - zoom * drawn_y)


def _reframed(crop_SS3: Float32, framing: Framing, size: int) -> Float32:
    """(size, size, 3) the crop as the canonical camera would have taken it, white where it does not reach."""
    crop = torch.from_numpy(crop_SS3).permute(2, 0, 1)[None]
    centre = (torch.arange(size, dtype=torch.float32) + 0.5) * 2 / size - 1
    x = centre * framing.focal_scale + framing.shift_x
    y = centre * framing.focal_scale - framing.shift_y
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    # Sampling 1 - crop with zero padding makes everything outside the crop white.
    seen = 1 - torch.nn.functional.grid_sample(1 - crop, grid, align_corners=False)
    return np.asarray(seen[0].permute(1, 2, 0).numpy(), dtype=np.float32)
