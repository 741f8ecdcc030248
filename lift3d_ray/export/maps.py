"""Pictures beside the asset: PNG files, the mask at the photo's own size, 16-bit depth."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lift3d_ray.errors import ConfigError
from lift3d_ray.types import CropMap, Float32, Subject, UInt8

DEPTH_SCALE = 65535
"""What a relative inverse depth of 1 becomes in ``depth.png``."""


def png_bytes(picture: UInt8) -> bytes:
    """A (H, W), (H, W, 3) or (H, W, 4) uint8 picture as a PNG file."""
    return _encoded(Image.fromarray(np.ascontiguousarray(picture)))


def subject_bytes(subject: Subject) -> bytes:
    """The crop as an RGBA PNG file: the photo's own pixels, background included, with the cut-out as their alpha."""
    alpha = np.round(subject.alpha_HW * 255).astype(np.uint8)
    return png_bytes(np.concatenate([subject.rgb_HWC, alpha[..., None]], axis=-1))


def mask_bytes(subject: Subject, photo_height: int, photo_width: int) -> bytes:
    """The cut-out's alpha at the photo's own size, as an 8-bit grey PNG file; 0 outside the crop."""
    return png_bytes(uncrop(subject.alpha_HW, subject.crop, photo_height, photo_width))


def depth_bytes(disparity_HW: Float32) -> bytes:
    """The crop's relative inverse depth as a 16-bit grey PNG file: 65535 nearest, 0 outside the mask."""
    levels = np.round(np.clip(disparity_HW, 0.0, 1.0) * DEPTH_SCALE).astype(np.uint16)
    return _encoded(Image.fromarray(levels))


def uncrop(alpha_HW: Float32, crop: CropMap, photo_height: int, photo_width: int) -> UInt8:
    """(photo_height, photo_width) uint8: a crop's alpha laid back where the crop was taken; 0 elsewhere."""
    if photo_height < 1 or photo_width < 1:
        raise ConfigError(f"the photo must have sides of 1 pixel or more, got {photo_width} x {photo_height}")
    scale = crop.size_px / crop.side_px
    shape = (photo_width, photo_height)
    affine = (scale, 0.0, -crop.x0_px * scale, 0.0, scale, -crop.y0_px * scale)
    # A border of zeros keeps the crop's last pixels from being smeared over the photo.
    picture = Image.fromarray(np.pad(np.round(alpha_HW * 255).astype(np.uint8), 1))
    shifted = (affine[0], 0.0, affine[2] + 1, 0.0, affine[4], affine[5] + 1)
    laid = picture.transform(shape, Image.Transform.AFFINE, shifted, Image.Resampling.BILINEAR, fillcolor=0)
    return np.asarray(laid, dtype=np.uint8)


def _encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=False, compress_level=6)
    return stream.getvalue()
