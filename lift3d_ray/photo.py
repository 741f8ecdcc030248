"""Bytes -> ``Photo``: upright, sRGB, 8 bits, at a working size, with its cut-out if it has one.

The door for everything a stranger may send. Every refusal is an ``InputError`` with a sentence; no file, however
damaged, raises anything else. Sizes are checked from the header before a pixel is decoded. No global state of Pillow
is touched (formats are opened by their own classes, not by ``Image.open`` with its process-wide limits), so any number
of threads may read at once.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from lift3d_ray import photo_container, photo_pixels
from lift3d_ray.errors import ConfigError, NoSubject, PhotoTooLarge, PhotoTooSmall, UnreadablePhoto
from lift3d_ray.types import Float32, Photo, UInt8

_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
}

# What Pillow's decoders let escape on damaged bytes. ``Warning`` is here for processes that turn warnings to errors.
_DECODER_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_ORIENTATION = 274
_OPAQUE = 250
_INVISIBLE = 5
_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class PhotoLimits:
    """What a picture may measure.

    Attributes:
        max_pixels: most pixels a file may declare; more is ``PhotoTooLarge``, before decoding.
        max_bytes: most bytes a file may have.
        min_side_px: fewest pixels on the shorter side, also after reduction to the working size.
        working_side_px: longer side above which a picture is reduced before anything else looks at it.
    """

    max_pixels: int = 64_000_000
    max_bytes: int = 128 * _MIB
    min_side_px: int = 16
    working_side_px: int = 2048

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_bytes", "min_side_px", "working_side_px"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be a positive number, got {getattr(self, name)}")
        if self.min_side_px > self.working_side_px:
            raise ConfigError(
                f"min_side_px ({self.min_side_px}) must not exceed working_side_px ({self.working_side_px})"
            )


DEFAULT_LIMITS = PhotoLimits()


def load_photo(path: str | os.PathLike[str], *, limits: PhotoLimits = DEFAULT_LIMITS) -> Photo:
    """Reads a picture file.

    Args:
        path: a file of any of the readable formats; its name does not matter.
        limits: what it may measure.

    Returns:
        The picture, named by its file name.

    Raises:
        UnreadablePhoto: it cannot be opened (with the system's reason), or is not a readable picture.
        PhotoTooLarge: too many bytes or pixels.
        PhotoTooSmall: too few pixels.
        NoSubject: the picture is transparent throughout.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadablePhoto(f"{path}: is a folder; wanted one picture file")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePhoto(f"{path}: is a device or a pipe; wanted a regular file")
        _check_bytes(status.st_size, str(path), limits)
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadablePhoto(f"{path}: cannot be opened: {reason}; check the name and your permissions") from error
    return read_photo(data, name=path.name, limits=limits)


def read_photo(data: bytes, *, name: str, limits: PhotoLimits = DEFAULT_LIMITS) -> Photo:
    """Decodes the bytes of a picture file.

    Turned upright by its EXIF orientation, brought to sRGB by its colour profile, first frame of an animation, 16-bit
    and float levels scaled to 8 bits, and reduced to the working size where larger. Transparency becomes ``alpha_HW``
    unless everything is opaque; the colour below complete transparency is white.

    Args:
        data: the whole file.
        name: what to call it in messages.
        limits: what it may measure.

    Returns:
        The picture; its digest is that of ``data``.

    Raises:
        UnreadablePhoto: not a picture, of a kind that is not read, or cut short: half a picture is never returned.
        PhotoTooLarge: too many bytes or pixels.
        PhotoTooSmall: too few pixels.
        NoSubject: the picture is transparent throughout.
    """
    _check_bytes(len(data), name, limits)
    kind = photo_container.picture_format(data)
    if kind is None:
        raise UnreadablePhoto(
            f"{name}: looks like {photo_container.looks_like(data)}; wanted a picture in {photo_container.READABLE}"
        )
    clean, orientation = photo_container.without_metadata(data, kind)
    try:
        if photo_container.is_cut_short(clean, kind):
            raise OSError("the end marker is missing")
        image = _DECODERS[kind](io.BytesIO(clean), name)
        working = _check_size(image.size, name, limits)
        color, alpha = _decode(image, working, orientation)
    except Image.DecompressionBombError as error:
        raise PhotoTooLarge(f"{name}: a part of it unpacks to too many pixels; {_advice(limits)}") from error
    except _DECODER_FAILURES as error:
        raise UnreadablePhoto(
            f"{name}: a {kind} file that is cut short, damaged or of a rare kind (decoder: {_words(error)}); "
            "fetch it again, or save it anew as PNG"
        ) from error
    rgb_HWC, alpha_HW = _to_arrays(color, alpha, name)
    return Photo(rgb_HWC=rgb_HWC, alpha_HW=alpha_HW, digest=hashlib.sha256(data).hexdigest(), name=name)


def _check_bytes(count: int, name: str, limits: PhotoLimits) -> None:
    if count > limits.max_bytes:
        raise PhotoTooLarge(
            f"{name}: {count / _MIB:,.1f} MiB; at most {limits.max_bytes / _MIB:,.0f} MiB are read; save it smaller"
        )


def _check_size(size: tuple[int, int], name: str, limits: PhotoLimits) -> tuple[int, int]:
    """Refuses sizes outside the limits; returns the size to work at, (width, height)."""
    width, height = size
    if width * height > limits.max_pixels:
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels; {_advice(limits)}")
    if min(size) < limits.min_side_px:
        raise PhotoTooSmall(
            f"{name}: {width} x {height} pixels; the shorter side needs at least {limits.min_side_px}; "
            "use a larger picture of the subject"
        )
    shrink = min(1.0, limits.working_side_px / max(size))
    working = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    if min(working) < limits.min_side_px:
        raise PhotoTooSmall(
            f"{name}: {width} x {height} pixels is too narrow: reduced to the working size of "
            f"{limits.working_side_px} pixels, its shorter side would be under {limits.min_side_px}; crop it"
        )
    return working


def _advice(limits: PhotoLimits) -> str:
    return f"at most {limits.max_pixels / 1e6:g} megapixels are read; save it smaller"


def _decode(
    image: ImageFile.ImageFile, working: tuple[int, int], orientation: int
) -> tuple[Image.Image, Image.Image | None]:
    """Decodes, reduces, turns upright and converts to sRGB: (``RGB`` picture, ``L`` alpha or None)."""
    profile = image.info.get("icc_profile")
    # JPEG can be decoded at 1/2, 1/4 or 1/8: cheaper, and twice the working size keeps the final filter in charge.
    image.draft(None, (2 * working[0], 2 * working[1]))
    image.load()
    alpha = photo_pixels.alpha_channel(image)
    color = photo_pixels.eight_bit(image)
    if image.size != working:
        color, alpha = photo_pixels.reduce(color, alpha, working)
    color = photo_pixels.to_srgb(color, profile if isinstance(profile, bytes) else None)
    turn = _TURNS.get(_orientation_of(image, orientation))
    if turn is not None:
        color, alpha = color.transpose(turn), None if alpha is None else alpha.transpose(turn)
    return color, alpha


def _orientation_of(image: ImageFile.ImageFile, from_container: int) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tag = image.tag_v2.get(_TIFF_ORIENTATION, 1)
        return tag if isinstance(tag, int) else 1
    exif = image.info.get("exif")
    return photo_container.exif_orientation(exif) if isinstance(exif, bytes) else from_container


def _to_arrays(color: Image.Image, alpha: Image.Image | None, name: str) -> tuple[UInt8, Float32 | None]:
    rgb_HWC = np.array(color, dtype=np.uint8)
    if alpha is None:
        return rgb_HWC, None
    levels_HW = np.asarray(alpha, dtype=np.uint8)
    if levels_HW.max() <= _INVISIBLE:
        raise NoSubject(f"{name}: transparent throughout; wanted something to be seen; export it with its colours")
    if levels_HW.min() >= _OPAQUE:
        return rgb_HWC, None
    rgb_HWC[levels_HW == 0] = 255
    return rgb_HWC, levels_HW.astype(np.float32) / 255.0


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 80 else text[:77] + "...") or type(error).__name__
