"""Which of a segmenter's masks is the picture's subject: rules over masks, no model.

A mask is tidied first (specks off, pinholes closed), refused when it behaves like a backdrop, and ranked by how much a
photographer would have meant it: large, near the middle, inside the frame, and trusted by the segmenter.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lift3d_ray.types import Bool, Float32

SMALLEST_AREA = 0.004
"""Masks below this fraction of the picture are no subject."""

LARGEST_AREA = 0.92
"""Masks above this fraction are the picture itself."""

BACKDROP_FRAME = 0.5
"""Masks that cover more than this fraction of the picture's outermost pixels are backdrop."""

SPECK = 0.06
"""Connected parts below this fraction of the largest part are dropped."""

PINHOLE = 0.02
"""Enclosed holes below this fraction of the mask are closed; larger ones (a mug's handle) are real."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A mask that might be the subject.

    Attributes:
        mask_HW: (H, W) bool.
        predicted_iou: the segmenter's own estimate, [0, 1].
        stability: IoU of the mask with itself under a shifted threshold, [0, 1].
    """

    mask_HW: Bool
    predicted_iou: float
    stability: float


def rank_subjects(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Tidied candidates that can be a subject, the main one first; masks of one thing are kept once."""
    tidied = [replace(c, mask_HW=tidy_mask(c.mask_HW)) for c in candidates]
    plausible = [c for c in tidied if is_plausible(c.mask_HW)]
    ordered = sorted(plausible, key=lambda c: -subject_score(c))
    kept: list[Candidate] = []
    for candidate in ordered:
        if all(mask_iou(candidate.mask_HW, other.mask_HW) < 0.8 for other in kept):
            kept.append(candidate)
    return kept


def tidy_mask(mask_HW: Bool) -> Bool:
    """The mask without specks and pinholes."""
    from scipy import ndimage

    if not mask_HW.any():
        return mask_HW
    parts, count = ndimage.label(mask_HW)
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= SPECK * sizes.max())) if count > 1 else mask_HW.copy()
    holes, count = ndimage.label(~kept)
    if count > 1:
        sizes = np.bincount(holes.ravel())
        small = np.flatnonzero(sizes < PINHOLE * kept.sum())
        kept = kept | np.isin(holes, small[small > 0])
    return np.asarray(kept, dtype=np.bool_)


def is_plausible(mask_HW: Bool) -> bool:
    """Whether the mask can be a subject: neither a speck, nor the whole picture, nor its backdrop."""
    area = float(mask_HW.mean())
    return SMALLEST_AREA <= area <= LARGEST_AREA and frame_cover(mask_HW) <= BACKDROP_FRAME


def frame_cover(mask_HW: Bool) -> float:
    """Fraction of the picture's outermost pixels that the mask covers."""
    frame = np.concatenate([mask_HW[0], mask_HW[-1], mask_HW[1:-1, 0], mask_HW[1:-1, -1]])
    return float(frame.mean())


def subject_score(candidate: Candidate) -> float:
    """How much a candidate looks like what the picture was taken of; only the order matters."""
    mask = candidate.mask_HW
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    off_x = (columns.mean() + 0.5) / width - 0.5
    off_y = (rows.mean() + 0.5) / height - 0.5
    central = float(np.exp(-(off_x**2 + off_y**2) / (2 * 0.22**2)))
    size = float(np.sqrt(min(mask.mean(), 0.3)))
    trust = candidate.predicted_iou * candidate.stability
    return trust * size * central * (1 - frame_cover(mask)) ** 2


def mask_iou(a_HW: Bool, b_HW: Bool) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((a_HW | b_HW).sum())
    return float((a_HW & b_HW).sum() / union) if union else 1.0


def resize_mask(mask_HW: Bool, size: tuple[int, int]) -> Bool:
    """The mask at another (height, width), its rim interpolated rather than copied in steps."""
    from PIL import Image

    if mask_HW.shape == size:
        return mask_HW
    picture = Image.fromarray(mask_HW.astype(np.float32))
    soft: Float32 = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return np.asarray(soft >= 0.5, dtype=np.bool_)
