"""A segmenter's mask made exact before a backdrop of one colour: handles, legs, white wings on white; no fringe.

Before such a backdrop (a catalogue picture, a render) everything that is not of its colour and hangs together with the
subject belongs to it, however thin or pale it is. Soft shadows fade into the backdrop, and are told by that.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lift3d_ray.types import Bool, Float32, UInt8

_RING_PART = 0.01
"""Width of the frame that has to be backdrop, as a part of the picture's longer side."""
_RING_SHARE = 0.9
_LEVELS = 5.0
"""A pixel is of the backdrop's colour when no channel is further from it, in 8-bit levels ..."""
_MOST_LEVELS = 14.0
_SPREADS = 4.0
"""... or than so many median deviations of the frame, where that is more; a rougher backdrop is none."""
_REACH_PART = 0.012
"""What reaches no further beyond the mask is its rim, as a part of the picture's longer side."""
_RIM_PX = 3.0
_SHARPNESS, _SHARP_SHARE = 2.5, 0.2
"""This share of a thing's outline stands out by so many tolerances; of a shadow's it does not."""
_EIGHT = np.ones((3, 3), dtype=np.bool_)


def sharpen(mask_HW: Bool, rgb_HWC: UInt8) -> Bool:
    """The mask with all that hangs together with it and without a fringe, where the backdrop is of one colour.

    Args:
        mask_HW: (H, W) bool, a segmenter's.
        rgb_HWC: (H, W, 3) uint8.

    Returns:
        (H, W) bool; the mask itself where the backdrop is not of one colour.
    """
    apart = _unlike_backdrop(rgb_HWC)
    if apart is None or not mask_HW.any():
        return mask_HW
    difference_HW, tolerance = apart
    unlike_HW = difference_HW > tolerance
    reach_px = max(2.0, _REACH_PART * max(mask_HW.shape))
    # Only the rim is taken for fringe: further in, what has the backdrop's colour may well be the subject.
    fringe_HW = ~unlike_HW & (ndimage.distance_transform_edt(mask_HW) <= reach_px)
    further_HW = _left_out(mask_HW, unlike_HW, reach_px, sharp_HW=difference_HW > _SHARPNESS * tolerance)
    return np.asarray((mask_HW & ~fringe_HW) | further_HW, dtype=np.bool_)


def _left_out(mask_HW: Bool, unlike_HW: Bool, reach_px: float, *, sharp_HW: Bool) -> Bool:
    """(H, W) what hangs together with the mask, reaches beyond its rim and is no shadow."""
    whole, _ = ndimage.label(unlike_HW | mask_HW, structure=_EIGHT)
    joined_HW = np.isin(whole, np.unique(whole[mask_HW])) & unlike_HW
    pieces, count = ndimage.label(joined_HW & ~mask_HW, structure=_EIGHT)
    if count == 0:
        return np.zeros_like(mask_HW)
    numbers = np.arange(1, count + 1)
    reaches = ndimage.maximum(ndimage.distance_transform_edt(~mask_HW), pieces, numbers) > reach_px
    near_edge_HW = ndimage.distance_transform_edt(unlike_HW) <= _RIM_PX
    outlines = ((n, (pieces == n) & near_edge_HW) for n in numbers[reaches])
    kept = [n for n, edge_HW in outlines if (sharp_HW & edge_HW).sum() > _SHARP_SHARE * edge_HW.sum()]
    return np.asarray(np.isin(pieces, kept), dtype=np.bool_)


def _unlike_backdrop(rgb_HWC: UInt8) -> tuple[Float32, float] | None:
    """(H, W) levels between each pixel and the backdrop's colour, and the tolerance; None without such a backdrop."""
    width = max(1, round(_RING_PART * max(rgb_HWC.shape[:2])))
    frame_HW = np.ones(rgb_HWC.shape[:2], dtype=np.bool_)
    frame_HW[width:-width, width:-width] = False
    frame = rgb_HWC[frame_HW].astype(np.float32)
    colour = np.median(frame, axis=0)
    off = np.abs(frame - colour).max(1)
    tolerance = max(_LEVELS, _SPREADS * float(np.median(off)))
    if tolerance > _MOST_LEVELS or float((off <= tolerance).mean()) < _RING_SHARE:
        return None
    return np.asarray(np.abs(rgb_HWC.astype(np.float32) - colour).max(-1), dtype=np.float32), tolerance
