"""An edited picture brought into the frame of the crop that its asset was lifted from.

Shape suffixes: S side of the crop.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lift3d_ray.edit.lifted import LiftedAsset
from lift3d_ray.errors import InputError
from lift3d_ray.subject.resample import Grid
from lift3d_ray.types import CropMap, Float32, Photo, Subject

CROP, PHOTO = "crop", "photo"
"""What an edited picture may frame: the asset's crop, or the whole photo."""

LEAST_SHOWN = 0.2
"""A picture must show this share of the subject at least, or there is too little to go by."""


def edited_subject(photo: Photo, lifted: LiftedAsset) -> tuple[Subject, str]:
    """The subject as an edited picture shows it, in the frame and the outline that it was lifted in.

    A picture of the photo's size is the photo, edited; a square one is the crop, at whatever size. Where it may be
    either, its edges tell. What is transparent in it says nothing.

    Args:
        photo: the edited picture.
        lifted: the asset.

    Returns:
        The subject, and what the picture frames.

    Raises:
        InputError: another size, or too little of the subject in it.
    """
    told = lifted.photo
    height, width = photo.rgb_HWC.shape[:2]
    crop = lifted.perception.subject.crop
    readings = {}
    if height == width:
        readings[CROP] = _cut(photo, lifted, Grid(x=0.0, y=0.0, span=float(width), size=crop.size_px))
    if (height, width) == (told["height_px"], told["width_px"]):
        readings[PHOTO] = _cut(photo, lifted, _grid(crop))
    if not readings:
        raise InputError(
            f"{photo.name} has {width} x {height} pixels: wanted a square picture framed as the asset's subject.png "
            f"({crop.size_px} x {crop.size_px}), or one of the photo's size ({told['width_px']} x {told['height_px']})"
        )
    before = lifted.perception.subject
    framing = max(readings, key=lambda name: _likeness(readings[name], before))
    subject = readings[framing]
    shown, whole = (float((one.alpha_HW > 0.5).sum()) for one in (subject, before))
    if shown < LEAST_SHOWN * whole:
        raise InputError(
            f"{photo.name} shows {100 * shown / max(1.0, whole):.0f} % of the subject, the rest is transparent: "
            f"wanted {100 * LEAST_SHOWN:.0f} % or more, framed as the asset's subject.png"
        )
    return subject, framing


def _grid(crop: CropMap) -> Grid:
    return Grid(x=crop.x0_px, y=crop.y0_px, span=crop.side_px, size=crop.size_px)


def _cut(photo: Photo, lifted: LiftedAsset, grid: Grid) -> Subject:
    """The crop of an edited picture, within the outline that was lifted."""
    before = lifted.perception.subject
    rgb = grid.sample(photo.rgb_HWC.astype(np.float32), replicate=True)
    alpha = before.alpha_HW
    if photo.alpha_HW is not None:
        opacity = grid.sample(photo.alpha_HW, replicate=True)
        covered = grid.sample(photo.rgb_HWC * photo.alpha_HW[..., None], replicate=True)
        # Resampled by opacity, so that hidden colours do not bleed into the rim.
        rgb = np.where(opacity[..., None] > 1e-3, covered / np.maximum(opacity, 1e-3)[..., None], rgb)
        alpha = np.minimum(alpha, np.clip(opacity, 0, 1))
    pixels = np.asarray(np.round(np.clip(rgb, 0, 255)), dtype=np.uint8)
    return replace(before, rgb_HWC=pixels, alpha_HW=np.asarray(alpha, dtype=np.float32))


def _likeness(subject: Subject, before: Subject) -> float:
    """How well the edges of two pictures of one frame agree, whatever their colours: their correlation."""
    return float(_edges(subject) @ _edges(before))


def _edges(subject: Subject) -> Float32:
    """(S * S,) steepness of the brightness, freed from its mean and brought to length 1; 0 in a flat picture."""
    down, across = np.gradient(subject.rgb_HWC.astype(np.float32).mean(-1))
    steepness = np.hypot(down, across).reshape(-1)
    steepness -= steepness.mean()
    return np.asarray(steepness / max(float(np.linalg.norm(steepness)), 1e-6), dtype=np.float32)
