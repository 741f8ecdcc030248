"""What is done to a mask before it cuts: tidy it, draw its rim in a little, soften it.

All amounts are relative to the subject or to the picture they act on: the same photo at another size gets the same
treatment.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lift3d_ray.errors import NoSubject
from lift3d_ray.types import Bool, Float32, UInt8

PIECE_PART = 0.05
"""Pieces of a segmenter's mask smaller than this part of its largest piece are crumbs."""
HOLE_PART = 0.001
"""Holes smaller than this part of the mask are mistakes; larger ones (a handle's) are holes."""
RIM_PART = 0.004
"""How far the rim is drawn in, as a part of the subject's longer side."""
_EIGHT = np.ones((3, 3), dtype=np.bool_)


def bounding_box(mask_HW: Bool) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a mask in pixels, half-open.

    Raises:
        NoSubject: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not len(rows):
        raise NoSubject("the mask of the subject is empty; wanted at least one pixel; select the subject again")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def tidy(mask_HW: Bool, *, piece_part: float = PIECE_PART) -> Bool:
    """Drops crumbs and fills pin-holes.

    Args:
        mask_HW: (H, W) bool.
        piece_part: pieces smaller than this part of the largest piece go.

    Returns:
        A new (H, W) bool mask.
    """
    labels, count = ndimage.label(mask_HW, structure=_EIGHT)
    if count == 0:
        return mask_HW.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept_HW = (sizes >= piece_part * sizes.max())[labels] & mask_HW
    holes, _ = ndimage.label(~kept_HW)
    sizes = np.bincount(holes.ravel())
    small = sizes <= HOLE_PART * kept_HW.sum()
    small[0] = False
    edge = np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])
    small[edge] = False  # open to the outside: a corner of the background, not a hole
    return np.asarray(kept_HW | small[holes], dtype=np.bool_)


def draw_in_rim(mask_HW: Bool) -> Bool:
    """Erodes a mask by a hair, so that blended and mistaken rim pixels stay outside; thin parts are left whole."""
    x0, y0, x1, y1 = bounding_box(mask_HW)
    pixels = round(RIM_PART * max(x1 - x0, y1 - y0))
    if pixels == 0:
        return mask_HW
    result_HW = mask_HW.copy()
    around = np.s_[max(0, y0 - pixels - 1) : y1 + pixels + 1, max(0, x0 - pixels - 1) : x1 + pixels + 1]
    part_HW = mask_HW[around]
    eroded_HW = ndimage.binary_erosion(part_HW, iterations=pixels, border_value=1)
    # What erosion swallows whole (a lamp's pole, a chair's leg) does not come back by growing: keep it.
    regrown_HW = ndimage.binary_dilation(eroded_HW, iterations=pixels + 1)
    result_HW[around] = eroded_HW | (part_HW & ~regrown_HW)
    return result_HW


def signed_distance(mask_HW: Bool) -> Float32:
    """Distance in pixels to the mask's edge, positive inside, +-0.5 in the pixels along the edge."""
    inside = ndimage.distance_transform_edt(mask_HW)
    outside = ndimage.distance_transform_edt(~mask_HW)
    return np.asarray(np.where(mask_HW, inside - 0.5, 0.5 - outside), dtype=np.float32)


def clean_rim_colors(rgb_HWC: UInt8, alpha_HW: Float32, depth_px: int) -> UInt8:
    """Replaces the colours at a subject's rim, where the background shines through, by the nearest ones inside.

    A few pixels outside the rim are painted as well, so that later interpolation finds no background there. Parts too
    thin to have an inside keep their own colours.

    Args:
        rgb_HWC: (S, S, 3) uint8.
        alpha_HW: (S, S) float32 in [0, 1].
        depth_px: how deep the background shines in from the rim, pixels.

    Returns:
        A new (S, S, 3) uint8 picture.
    """
    inside_HW = ndimage.binary_erosion(alpha_HW > 0.95, iterations=depth_px, border_value=1)
    if not inside_HW.any():
        return rgb_HWC.copy()
    distance, nearest = ndimage.distance_transform_edt(~inside_HW, return_indices=True)
    painted_HW = (distance > 0) & (distance <= 2 * depth_px + 2)
    result = rgb_HWC.copy()
    result[painted_HW] = rgb_HWC[nearest[0][painted_HW], nearest[1][painted_HW]]
    return result
