"""The mask that a photo brings along: its own transparency."""

from __future__ import annotations

from lift3d_ray.types import Bool, Photo

MAX_COVER = 0.98
"""Greatest part of the picture that a subject covers: what covers more has no outline to lift."""


def cutout_mask(photo: Photo) -> Bool | None:
    """The mask that the photo's own transparency draws, (H, W) bool, or None where it draws none.

    Opacity counts relative to the most opaque pixel, so a cut-out that is half-transparent throughout is whole. A
    picture that is opaque nearly everywhere (rounded corners, a soft frame) is a photo, not a cut-out.
    """
    if photo.alpha_HW is None:
        return None
    mask_HW: Bool = photo.alpha_HW > 0.5 * photo.alpha_HW.max()
    return mask_HW if mask_HW.mean() <= MAX_COVER else None
