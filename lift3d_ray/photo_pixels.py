"""Decoded pictures of every pixel kind -> 8-bit sRGB colour and an optional alpha channel."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from lift3d_ray.types import Float32, UInt8

_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def alpha_channel(image: Image.Image) -> Image.Image | None:
    """The transparency of a decoded picture as an 8-bit channel, or None where its kind has none."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion cannot do this kind: one 16-bit level is the transparent one.
        level = image.info.get("transparency")
        if not isinstance(level, int):
            return None
        return Image.fromarray(np.where(np.asarray(image) == level, 0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return None
    return image.convert("RGBA").getchannel("A")


def eight_bit(image: Image.Image) -> Image.Image:
    """A decoded picture as 8-bit ``L``, ``RGB`` or ``CMYK``, transparency dropped, nothing clipped.

    16-bit levels are scaled from 0..65535. Float levels are taken as 0..1 or 0..255 where they fit, otherwise
    stretched from the least to the greatest; 32-bit integers likewise as 0..255 or 0..65535.

    Raises:
        ValueError: a float picture without one finite value.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray(_to_levels(np.asarray(image).astype(np.float32), (65535.0,)))
    if image.mode == "I":
        return Image.fromarray(_to_levels(np.asarray(image).astype(np.float32), (255.0, 65535.0)))
    if image.mode == "F":
        return Image.fromarray(_to_levels(np.asarray(image, dtype=np.float32), (1.0, 255.0)))
    if image.mode in ("1", "L", "LA", "La"):
        return _straight(image).convert("L")
    if image.mode == "CMYK":
        return image
    return _straight(image).convert("RGB")


def reduce(
    color: Image.Image, alpha: Image.Image | None, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image | None]:
    """Resizes by Lanczos, colours weighted by their opacity so that hidden ones do not bleed into the rim.

    Args:
        color: as ``eight_bit`` returns it.
        alpha: as ``alpha_channel`` returns it.
        size: (width, height) wanted.

    Returns:
        Both at the wanted size.
    """
    if alpha is None:
        return color.resize(size, Image.Resampling.LANCZOS), None
    joined = color.copy()
    joined.putalpha(alpha)
    joined = joined.resize(size, Image.Resampling.LANCZOS)  # Pillow premultiplies LA and RGBA by itself
    return joined.convert(color.mode), joined.getchannel("A")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An ``L``, ``RGB`` or ``CMYK`` picture in sRGB.

    Args:
        image: as ``eight_bit`` returns it.
        profile: the file's ICC profile. One that is damaged, or for another kind of pixels, is ignored: the picture
            is then taken as sRGB (or as plain CMYK), which is what viewers do.

    Returns:
        The picture in mode ``RGB``.
    """
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if _PROFILE_MODES.get(source.profile.xcolor_space) == image.mode:
                srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
                converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # damaged profile: read on without it
    return image.convert("RGB")


def _straight(image: Image.Image) -> Image.Image:
    """Undoes premultiplied alpha, the two kinds that Pillow cannot convert in one go."""
    return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]) if image.mode in ("La", "RGBa") else image


def _to_levels(values_HW: Float32, full_scales: tuple[float, ...]) -> UInt8:
    """Levels 0..255 of values that reach up to the first of the full scales that holds them all."""
    finite = np.isfinite(values_HW)
    if not finite.any():
        raise ValueError("no pixel holds a finite number")
    low, high = float(values_HW[finite].min()), float(values_HW[finite].max())
    fitting = [full for full in full_scales if low >= 0 and high <= full]
    offset, span = (0.0, fitting[0]) if fitting else (low, max(high - low, 1e-30))
    unit = (np.where(finite, values_HW, low) - offset) / span
    return np.asarray(np.round(np.clip(unit, 0, 1) * 255), dtype=np.uint8)
