"""Photo + mask -> the subject in a square picture of its own, and the way back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from lift3d_ray.errors import ConfigError
from lift3d_ray.subject import masks
from lift3d_ray.subject.cutout import cutout_mask
from lift3d_ray.subject.resample import Grid
from lift3d_ray.types import Bool, CropMap, Float32, MaskProposal, Photo, Subject

_CUTOUT_PIECE_PART = 0.001
"""An artist's cut-out keeps its small pieces; only specks go."""
_SOFT_RIM_PART = 0.05
"""How far a cut-out's softness may reach beyond its half-opaque outline, as a part of its longer side."""
_MIXED_PHOTO_PX = 1.5
"""How deep the background shines into a subject's rim, in pixels of the photo."""
_MIXED_PART = 1 / 256
"""The same at least, as a part of the crop's side."""
_MOST_MIXED_PART = 1 / 16
"""The same at most, for photos that are enlarged greatly."""
_STEP_BLUR_PX = 0.6
_MARGIN_PX = 4
_LEAST_WEIGHT = 1e-3


def to_photo_px(crop: CropMap, xy_N2: ArrayLike) -> NDArray[np.float64]:
    """Photo positions of crop positions, both (..., 2) in pixels (x right, y down, pixel centres at +0.5)."""
    origin = np.array([crop.x0_px, crop.y0_px])
    return np.asarray(origin + np.asarray(xy_N2, dtype=np.float64) * (crop.side_px / crop.size_px))


def to_crop_px(crop: CropMap, xy_N2: ArrayLike) -> NDArray[np.float64]:
    """Crop positions of photo positions: the inverse of ``to_photo_px``."""
    origin = np.array([crop.x0_px, crop.y0_px])
    return np.asarray((np.asarray(xy_N2, dtype=np.float64) - origin) * (crop.size_px / crop.side_px))


def crop_subject(photo: Photo, mask: MaskProposal, *, size: int = 256, fill: float = 0.8) -> Subject:
    """Cuts the subject out into a square.

    The square is centred on the subject's bounding box, whose longer side takes ``fill`` of it. A segmenter's mask is
    tidied and its rim drawn in by a hair; a photo's own transparency keeps its softness. Colours at the rim are freed
    from what lay behind the subject; outside the photo its edge is repeated.

    Args:
        photo: the picture.
        mask: the subject in it, of the photo's size.
        size: side of the result in pixels.
        fill: part of the side that the subject's longer side takes, in (0, 1].

    Returns:
        The subject, alpha soft over about one pixel at the rim.

    Raises:
        ConfigError: ``size`` or ``fill`` makes no sense.
        NoSubject: the mask is empty.
    """
    if not 0 < fill <= 1:
        raise ConfigError(f"fill must lie in (0, 1], got {fill}")
    clean_HW = _clean(photo, mask)
    x0, y0, x1, y1 = masks.bounding_box(clean_HW)
    return _cut(photo, mask, clean_HW, side_px=max(x1 - x0, y1 - y0) / fill, size=size)


def context_crop(photo: Photo, mask: MaskProposal, *, scale: float = 1.8, size: int = 512) -> Subject:
    """Cuts the subject out with more of its surroundings, as Anything-3D frames it for captioning.

    The side is ``scale * sqrt(w * h)`` of the subject's bounding box (Anything-3D, AnyObject3D), and never less than
    its longer side, which that formula would cut for long, thin things.

    Args:
        photo: the picture.
        mask: the subject in it, of the photo's size.
        scale: side in units of the geometric mean of the box's sides.
        size: side of the result in pixels.

    Returns:
        ``rgb_HWC`` shows the surroundings, ``over(1.0)`` the subject alone on white.

    Raises:
        ConfigError: ``size`` or ``scale`` makes no sense.
        NoSubject: the mask is empty.
    """
    if not scale > 0:
        raise ConfigError(f"scale must be positive, got {scale}")
    clean_HW = _clean(photo, mask)
    x0, y0, x1, y1 = masks.bounding_box(clean_HW)
    side_px = max(scale * math.sqrt((x1 - x0) * (y1 - y0)), float(x1 - x0), float(y1 - y0))
    return _cut(photo, mask, clean_HW, side_px=side_px, size=size)


def _is_own_cutout(photo: Photo, mask: MaskProposal) -> bool:
    own_HW = cutout_mask(photo)
    return own_HW is not None and np.array_equal(own_HW, mask.mask_HW)


def _clean(photo: Photo, mask: MaskProposal) -> Bool:
    if mask.mask_HW.shape != photo.rgb_HWC.shape[:2]:
        raise ValueError(f"the mask has shape {mask.mask_HW.shape}, the photo {photo.rgb_HWC.shape[:2]}; wanted equal")
    if _is_own_cutout(photo, mask):
        return masks.tidy(mask.mask_HW, piece_part=_CUTOUT_PIECE_PART)
    return masks.draw_in_rim(masks.tidy(mask.mask_HW))


def _cut(photo: Photo, mask: MaskProposal, clean_HW: Bool, *, side_px: float, size: int) -> Subject:
    """The square of ``side_px`` photo pixels around the mask's box, at ``size`` pixels."""
    if size < 8:
        raise ConfigError(f"a crop needs at least 8 pixels a side, got {size}")
    x0, y0, x1, y1 = masks.bounding_box(clean_HW)
    crop = CropMap(x0_px=(x0 + x1 - side_px) / 2, y0_px=(y0 + y1 - side_px) / 2, side_px=float(side_px), size_px=size)
    height, width = clean_HW.shape
    top, bottom = max(0, math.floor(crop.y0_px) - _MARGIN_PX), min(height, math.ceil(crop.y0_px + side_px) + _MARGIN_PX)
    left, right = max(0, math.floor(crop.x0_px) - _MARGIN_PX), min(width, math.ceil(crop.x0_px + side_px) + _MARGIN_PX)
    window = (slice(top, bottom), slice(left, right))
    grid = Grid(x=crop.x0_px - left, y=crop.y0_px - top, span=side_px, size=size)
    rgb = photo.rgb_HWC[window].astype(np.float32)
    if photo.alpha_HW is None:
        color, alpha = grid.sample(rgb, replicate=True), _soften(clean_HW[window], grid)
    elif _is_own_cutout(photo, mask):
        opacity_HW = _own_opacity(photo.alpha_HW[window], clean_HW[window])
        color, alpha = _weighted(rgb, opacity_HW, grid), grid.sample(opacity_HW, replicate=False)
    else:
        opacity_HW = photo.alpha_HW[window]
        color = _weighted(rgb, opacity_HW, grid)
        alpha = _soften(clean_HW[window], grid) * grid.sample(opacity_HW, replicate=False)
    alpha_HW = np.clip(alpha, 0.0, 1.0).astype(np.float32)
    rgb_HWC = np.round(np.clip(color, 0, 255)).astype(np.uint8)
    mixed_px = math.ceil(max(size * _MIXED_PART, min(_MIXED_PHOTO_PX * size / side_px, size * _MOST_MIXED_PART)))
    rgb_HWC = masks.clean_rim_colors(rgb_HWC, alpha_HW, mixed_px)
    return Subject(rgb_HWC=rgb_HWC, alpha_HW=alpha_HW, crop=crop, score=float(mask.score))


def _soften(mask_HW: Bool, grid: Grid) -> Float32:
    """A mask resampled to soft alpha: averages when shrinking, a one-pixel ramp along the outline when enlarging."""
    if grid.scale >= 1:
        return grid.sample(mask_HW.astype(np.float32), replicate=False)
    # Seen from afar a mask's steps are its outline; enlarged they would be a staircase. Distances enlarge smoothly.
    pad = _MARGIN_PX
    distance = ndimage.gaussian_filter(masks.signed_distance(np.pad(mask_HW, pad)), _STEP_BLUR_PX)
    wide = replace(grid, x=grid.x + pad, y=grid.y + pad).sample(distance, replicate=True)
    return np.asarray(np.clip(0.5 + wide / grid.scale, 0.0, 1.0), dtype=np.float32)


def _own_opacity(alpha_HW: Float32, clean_HW: Bool) -> Float32:
    """A cut-out's own opacity: solid at its most opaque, without crumbs and far shadows."""
    x0, y0, x1, y1 = masks.bounding_box(clean_HW)
    reach_px = max(1, round(_SOFT_RIM_PART * max(x1 - x0, y1 - y0)))
    near_HW = ndimage.distance_transform_edt(~clean_HW) <= reach_px
    # The mask also fills pin-holes, which the opacity alone would leave open.
    solid_HW = np.where(ndimage.binary_erosion(clean_HW), np.maximum(alpha_HW, 0.5 * alpha_HW.max()), alpha_HW)
    return np.where(near_HW, solid_HW / alpha_HW.max(), 0.0).astype(np.float32)


def _weighted(rgb: Float32, opacity_HW: Float32, grid: Grid) -> Float32:
    """Colours resampled in proportion to their opacity; white where there is none."""
    weight = grid.sample(opacity_HW, replicate=True)[..., None]
    color = grid.sample(rgb * opacity_HW[..., None], replicate=True)
    return np.where(weight > _LEAST_WEIGHT, color / np.maximum(weight, _LEAST_WEIGHT), 255.0).astype(np.float32)
