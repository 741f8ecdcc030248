"""Subject -> relative depth, comparable between pictures.

Make-It-3D's preparation (DPT on the subject over white, min-max, median) with its pixel amounts made relative to the
picture, robust ends instead of extremes, and disparity kept as it is: its inverse, which the paper's code takes, is not
invariant to the unknown shift.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lift3d_ray.errors import BundleError
from lift3d_ray.models.roles import DepthEstimator
from lift3d_ray.types import Bool, Float32, Subject, UInt8

SHOWN_FILL = 0.92
"""Part of the square that the subject's longer side fills when the estimator looks at it: large, since small
estimators see few pixels."""
_NEAR_PERCENTILE = 98.0
_FAR_PERCENTILE = 2.0
_RIM_PART = 1 / 128
_MEDIAN_PART = 5 / 512
_FLAT_SPAN = 1e-6
_FLAT_LEVEL = 0.5


def estimate_depth(subject: Subject, depth_estimator: DepthEstimator) -> Float32:
    """Estimates how near every part of a subject is.

    Along the rim, where estimates blend with the background's, each pixel takes the estimate of the nearest pixel well
    inside (parts too thin to have an inside keep theirs). The 2nd and 98th percentile inside become 0 and 1.

    Args:
        subject: the cut-out; the estimator sees it over white, filling ``SHOWN_FILL`` of a square.
        depth_estimator: DPT or alike.

    Returns:
        (S, S) float32 disparity in [0, 1], near = 1, 0 outside the mask (alpha <= 0.5). A subject without any relief is
        0.5 throughout: correlation with it is undefined, which losses must guard against.

    Raises:
        BundleError: the estimator answered with another size or with numbers that are not finite.
    """
    mask_HW: Bool = subject.alpha_HW > 0.5
    if not mask_HW.any():
        return np.zeros(mask_HW.shape, dtype=np.float32)
    raw_HW = estimate_closely(subject.over(1.0), mask_HW, depth_estimator)
    side = min(mask_HW.shape)
    rim_px = max(1, round(_RIM_PART * side))
    inside_HW = _inside(mask_HW, rim_px)
    filled_HW = _from_inside(raw_HW, mask_HW, inside_HW, 2 * rim_px)
    smooth_HW = ndimage.median_filter(filled_HW, size=2 * round(_MEDIAN_PART * side / 2) + 1, mode="nearest")
    far, near = np.percentile(smooth_HW[inside_HW], (_FAR_PERCENTILE, _NEAR_PERCENTILE))
    if near - far <= _FLAT_SPAN * max(1.0, abs(near)):
        return np.where(mask_HW, np.float32(_FLAT_LEVEL), np.float32(0))
    unit_HW = np.clip((smooth_HW - far) / (near - far), 0.0, 1.0)
    return np.where(mask_HW, unit_HW, 0.0).astype(np.float32)


def estimate_closely(rgb_HWC: UInt8, mask_HW: Bool, depth_estimator: DepthEstimator) -> Float32:
    """What the estimator says of the square around the mask, shown by itself, where the subject fills it.

    Args:
        rgb_HWC: (H, W, 3) uint8, the subject over white.
        mask_HW: (H, W) the subject, not empty.
        depth_estimator: DPT or alike.

    Returns:
        (H, W) float32 raw disparity, 0 outside of the square.

    Raises:
        BundleError: the estimator answered with another size or with numbers that are not finite.
    """
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    low = np.array([rows[0], columns[0]])
    high = np.array([rows[-1], columns[-1]]) + 1
    side = math.ceil(int((high - low).max()) / SHOWN_FILL)
    # The square may reach over the picture's edge, where it is white too.
    top, left = (low + high - side) // 2 + side
    wide_HWC = np.pad(rgb_HWC, ((side, side), (side, side), (0, 0)), constant_values=255)
    shown_HWC = np.ascontiguousarray(wide_HWC[top : top + side, left : left + side])
    answer_HW = np.asarray(depth_estimator.estimate_disparity(shown_HWC), dtype=np.float32)
    if answer_HW.shape != shown_HWC.shape[:2]:
        raise BundleError(
            f"the depth model answered with shape {answer_HW.shape}; wanted {shown_HWC.shape[:2]}; check the bundle"
        )
    if not np.isfinite(answer_HW).all():
        raise BundleError("the depth model answered with numbers that are not finite; check the bundle's weights")
    raw_HW = np.zeros(wide_HWC.shape[:2], dtype=np.float32)
    raw_HW[top : top + side, left : left + side] = answer_HW
    return np.ascontiguousarray(raw_HW[side:-side, side:-side])


def _inside(mask_HW: Bool, rim_px: int) -> Bool:
    """The mask without its rim; parts that have nothing but rim stay."""
    eroded_HW = ndimage.binary_erosion(mask_HW, iterations=rim_px, border_value=1)
    regrown_HW = ndimage.binary_dilation(eroded_HW, iterations=2 * rim_px)
    return np.asarray(eroded_HW | (mask_HW & ~regrown_HW), dtype=np.bool_)


def _from_inside(raw_HW: Float32, mask_HW: Bool, inside_HW: Bool, reach_px: int) -> Float32:
    """Estimates of the nearest inside pixel, in the rim and a little beyond, where the median will look."""
    distance, (rows, columns) = ndimage.distance_transform_edt(~inside_HW, return_indices=True)
    taken_HW = ~inside_HW & ((distance <= reach_px) | ~mask_HW)
    return np.where(taken_HW, raw_HW[rows, columns], raw_HW)
