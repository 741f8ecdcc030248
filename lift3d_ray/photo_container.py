"""Which kind of file some bytes are, and the picture in them without the metadata that cameras and editors add.

Formats are told by content, never by file name. Metadata is the part of a picture file that is broken most often and
needed least, so JPEG and PNG files lose it *before* a decoder sees them: what cannot be parsed cannot fail. The one
entry that matters, the EXIF orientation, is read here by hand.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 or PNM"
"""The formats that are read, for messages."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
)

_STRANGERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript file"),
    (4, b"ftyphei", "a HEIC photo (export it as JPEG first)"),
    (4, b"ftypmif1", "a HEIC photo (export it as JPEG first)"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"glTF", "a GLB model"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"PAR1", "a Parquet table (name it .parquet to read its rows)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
)

_HEAD_BYTES = 1024
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"eXIf"})
_PNG_OPTIONAL = frozenset({b"iCCP", b"eXIf"})
# Comments and application segments, but for APP0 (JFIF) and APP14 (Adobe), which say how colours are coded.
_JPEG_DROPPED = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})
_ORIENTATION_TAG = 0x0112
_SHORT = 3


def picture_format(data: bytes) -> str | None:
    """The format of a picture file (``"PNG"``, ``"JPEG"``, ...), or None when it is none that is read."""
    for offset, magic, name in _SIGNATURES:
        if data.startswith(magic, offset):
            return name
    if data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace():
        return "PNM"
    return None


def looks_like(data: bytes) -> str:
    """What bytes that are no readable picture seem to be, in words with an article."""
    if not data:
        return "an empty file (0 bytes)"
    for offset, magic, words in _STRANGERS:
        if data.startswith(magic, offset):
            return words
    head = data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in head:
        return "an SVG drawing (render it to PNG first)"
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page (a download that saved an error page?)"
    text = _as_text(data)
    if text is not None:
        return f"text ({text!r})"
    return f"unknown binary data (starts with {data[:8].hex(' ')})"


def _as_text(data: bytes) -> str | None:
    """The start of the first line if the bytes read as text, else None."""
    # A multi-byte character may be cut at the end of the head: up to three bytes are forgiven.
    head = data[:_HEAD_BYTES]
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= _HEAD_BYTES or error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8")
    if any(not (char.isprintable() or char in "\t\r\n\f") for char in text):
        return None
    lines = text.strip().splitlines()
    first = lines[0] if lines else ""
    return first if len(first) <= 40 else first[:37] + "..."


def without_metadata(data: bytes, name: str) -> tuple[bytes, int]:
    """Removes what a decoder does not need from a JPEG or PNG file.

    Colour profiles and transparency stay, except a PNG's colour profile whose checksum is wrong. An animated PNG is
    left with its default picture. Files of other formats, and files whose structure cannot be followed, come back
    as they are for the decoder to judge.

    Args:
        data: the file.
        name: its format as told by ``picture_format``.

    Returns:
        The shorter file, and its EXIF orientation, 1..8 (1 = upright, also when there is none or it makes no sense).
    """
    if name == "JPEG":
        return _jpeg_without_metadata(data)
    if name == "PNG":
        return _png_without_metadata(data)
    return data, 1


def is_cut_short(data: bytes, name: str) -> bool:
    """Whether a file lacks the marker that ends its kind, which decoders may paper over with grey or noise.

    Told for JPEG and JPEG 2000 (a download into a file of full length leaves zeros at its end); False for others,
    whose decoders notice by themselves.

    Args:
        data: the file as returned by ``without_metadata``: a thumbnail's end marker is gone.
        name: its format as told by ``picture_format``.
    """
    return name in ("JPEG", "JPEG2000") and b"\xff\xd9" not in data


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1..8; 1 when there is none or the block is damaged.

    Args:
        exif: a TIFF header and directory, with or without the six bytes that mark it in a JPEG.
    """
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for index in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * index)
            if tag == _ORIENTATION_TAG and kind == _SHORT:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # the directory points outside the block
        return 1
    return 1


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments after SOI up to the first scan, which runs to the end of the file."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xDA:
            yield marker, position, len(data)
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, position, end
        position = end


def _jpeg_without_metadata(data: bytes) -> tuple[bytes, int]:
    orientation, kept, complete = 1, [data[:2]], False
    for marker, start, end in _jpeg_segments(data):
        body = data[start + 4 : end]
        if marker == 0xE1 and body.startswith(b"Exif\x00\x00") and orientation == 1:
            orientation = exif_orientation(body)
        is_profile = marker == 0xE2 and body.startswith(b"ICC_PROFILE\x00")
        if is_profile or marker not in _JPEG_DROPPED:
            kept.append(data[start:end])
        complete = marker == 0xDA
    return (b"".join(kept) if complete else data), orientation


def _png_without_metadata(data: bytes) -> tuple[bytes, int]:
    orientation, kept, position, kind = 1, [data[:8]], 8, b""
    while kind != b"IEND" and position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind, chunk = data[position + 4 : position + 8], data[position:end]
        sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind == b"eXIf" and sound:
            orientation = exif_orientation(chunk[8:-4])
        elif kind in _PNG_KEPT and (sound or kind not in _PNG_OPTIONAL):
            kept.append(chunk)
        position = end
    if kind != b"IEND":  # cut short: the decoder shall see that it is
        kept.append(data[position:])
    return b"".join(kept), orientation
