"""The subject of a picture that was drawn before white, by its difference from white."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lift3d_ray.types import MaskProposal, Photo

_INK_LEVELS = 40
"""A pixel is ink where a channel is further from white than so many of 255 levels."""


def ink_mask(photo: Photo) -> MaskProposal:
    """The largest connected patch of a drawing that is not white, its holes of white kept; perhaps empty."""
    ink_HW = photo.rgb_HWC.min(axis=-1) < 255 - _INK_LEVELS
    patches, count = ndimage.label(ink_HW)
    if count == 0:
        return MaskProposal(mask_HW=ink_HW, score=0.0)
    sizes = np.bincount(patches.ravel())[1:]
    return MaskProposal(mask_HW=np.asarray(patches == 1 + int(sizes.argmax()), dtype=np.bool_), score=0.5)
