"""Photo -> mask -> square cut-out of the subject, and the way back to the photo."""

from __future__ import annotations

from lift3d_ray.subject.crop import context_crop, crop_subject, to_crop_px, to_photo_px
from lift3d_ray.subject.cutout import cutout_mask
from lift3d_ray.subject.select import AUTOMATIC, EVERY, Selection, every_subject, select_subject

__all__ = [
    "AUTOMATIC",
    "EVERY",
    "Selection",
    "context_crop",
    "crop_subject",
    "cutout_mask",
    "every_subject",
    "select_subject",
    "to_crop_px",
    "to_photo_px",
]
