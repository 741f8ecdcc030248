"""Pictures as strangers send them: broken, odd, hostile, or merely unusual, each with what it must get.

One factory for every ring of tests: the unit tests read each of them, the command line and the service get the same
ones as files. All are made here in code. Run as a script, it prints the table of ``docs/bad-inputs.md``.
"""

from __future__ import annotations

import functools
import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageDraw
from scipy import ndimage

from lift3d_ray.errors import InputError
from lift3d_ray.photo import PhotoLimits, read_photo
from lift3d_ray.subject.crop import crop_subject
from lift3d_ray.subject.select import select_subject
from lift3d_ray.types import MaskProposal, SegmentQuery, Subject

OK = "ok"
WIDTH, HEIGHT = 96, 64
BACKGROUND = (232, 230, 220)
BODY = (190, 40, 50)
KNOB = (30, 60, 170)


@dataclass(frozen=True, kw_only=True)
class BadInput:
    """One picture file and what must become of it.

    Attributes:
        name: file name, its ending as a stranger would (wrongly) have it.
        data: the file.
        expectation: the code of the error, or ``"ok"``.
        what: what the file is, for the table.
        note: what happens to a picture that is lifted; empty for errors, whose sentence speaks.
    """

    name: str
    data: bytes
    expectation: str
    what: str
    note: str = ""


class BorderSegmenter:
    """A deterministic stand-in for a segmenter: whatever differs from the colour of the picture's border.

    Automatic queries get the components, largest first. A query with points gets the component under the first
    positive one; a query with a box the part inside the box.
    """

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """Cuts the picture by colour distance to the median of its border."""
        rgb = query.rgb_HWC.astype(np.int16)
        border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
        different = np.abs(rgb - np.median(border, axis=0)).max(axis=-1) > 24
        labels, count = ndimage.label(different)
        masks = [labels == index for index in range(1, count + 1)]
        if query.points_xy_px:
            (x, y), *_ = (p for p, on in zip(query.points_xy_px, query.labels, strict=True) if on)
            masks = [mask for mask in masks if mask[int(y), int(x)]]
        if query.box_xyxy_px is not None:
            x0, y0, x1, y1 = (round(edge) for edge in query.box_xyxy_px)
            inside = np.zeros_like(different)
            inside[y0:y1, x0:x1] = True
            masks = [different & inside]
        masks.sort(key=lambda mask: -int(mask.sum()))
        return [MaskProposal(mask_HW=mask, score=0.9) for mask in masks if mask.any()]


def toy(mode: str = "RGB") -> Image.Image:
    """A red pot with a blue knob, off centre and without symmetry, on a plain background (96 x 64)."""
    large = Image.new("RGB", (WIDTH * 4, HEIGHT * 4), BACKGROUND)
    draw = ImageDraw.Draw(large)
    draw.ellipse((80, 60, 240, 220), fill=BODY)
    draw.rectangle((220, 120, 300, 150), fill=BODY)
    draw.ellipse((140, 30, 180, 70), fill=KNOB)
    return large.resize((WIDTH, HEIGHT), Image.Resampling.BOX).convert(mode)


def cutout(opacity: int = 255, hidden: tuple[int, int, int] = (0, 255, 0)) -> Image.Image:
    """The pot cut out: RGBA, soft at its rim, with another colour hidden below what is transparent."""
    large = Image.new("L", (WIDTH * 4, HEIGHT * 4), 0)
    draw = ImageDraw.Draw(large)
    draw.ellipse((80, 60, 240, 220), fill=opacity)
    draw.rectangle((220, 120, 300, 150), fill=opacity)
    draw.ellipse((140, 30, 180, 70), fill=opacity)
    alpha = large.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    picture = Image.composite(toy(), Image.new("RGB", toy().size, hidden), alpha.point(lambda a: 255 if a else 0))
    picture.putalpha(alpha)
    return picture


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as file bytes."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file of raw rows, each with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def with_png_chunk(data: bytes, chunk: bytes) -> bytes:
    """A PNG file with one more chunk, right after its header."""
    return data[:33] + chunk + data[33:]


def with_jpeg_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG file with one more segment, right after its start."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def exif(orientation: int) -> bytes:
    """A minimal EXIF block that says how the camera was held."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\x00\x00" + b"II*\x00" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def turned(orientation: int) -> bytes:
    """A PNG whose stored pixels are turned, and whose EXIF says how to turn them back."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = toy().transpose(undo[orientation]) if orientation in undo else toy()
    return with_jpeg_segment(encode(stored, "JPEG", quality=95, subsampling=0), 0xE1, exif(orientation))


def bad_inputs(*, with_huge: bool = False) -> list[BadInput]:
    """Every odd picture.

    Args:
        with_huge: add the one file that is refused for its length alone (over 128 MiB, so not for every test).
    """
    huge = [
        BadInput(
            name="huge.png",
            data=encode(toy(), "PNG") + bytes(PhotoLimits().max_bytes),
            expectation="photo-too-large",
            what="a good picture followed by 128 MiB of zeros",
        )
    ]
    return [
        *_not_pictures(),
        *_damaged(),
        *_wrong_sizes(),
        *_empty_scenes(),
        *_odd_but_good(),
        *_turned(),
        *(huge if with_huge else []),
    ]


def _refused(name: str, data: bytes, what: str, code: str = "unreadable-photo") -> BadInput:
    return BadInput(name=name, data=data, expectation=code, what=what)


def _good(name: str, data: bytes, what: str, note: str) -> BadInput:
    return BadInput(name=name, data=data, expectation=OK, what=what, note=note)


def _not_pictures() -> list[BadInput]:
    noise = np.random.default_rng(7).integers(0, 256, 4096, dtype=np.uint8).tobytes()
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'
    heic = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"
    return [
        _refused("empty.png", b"", "a file of zero bytes"),
        _refused("notes.png", b"These are not the pixels you are looking for.\n", "text named .png"),
        _refused("error-page.jpg", b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page named .jpg"),
        _refused("logo.svg", svg, "an SVG drawing"),
        _refused("manual.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF document"),
        _refused("phone.heic", heic, "a HEIC photo"),
        _refused("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        _refused("noise.jpg", noise, "random bytes"),
    ]


def _damaged() -> list[BadInput]:
    jpeg, image = encode(toy(), "JPEG"), encode(toy(), "PNG")
    progressive = encode(toy(), "JPEG", progressive=True)
    gif, webp = encode(toy(), "GIF"), encode(toy(), "WEBP")
    tiff = encode(toy(), "TIFF")
    return [
        _refused("half.jpg", jpeg[: len(jpeg) // 2], "a JPEG cut at 50 %"),
        _refused("most.jpg", progressive[: len(progressive) * 9 // 10], "a progressive JPEG cut at 90 %"),
        _refused("padded.jpg", jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2), "a JPEG whose second half is zeros"),
        _refused("half.png", image[: len(image) // 2], "a PNG cut at 50 %"),
        _refused("half.gif", gif[: len(gif) // 2], "a GIF cut at 50 %"),
        _refused("half.webp", webp[: len(webp) // 2], "a WebP cut at 50 %"),
        _refused("half.tif", tiff[: len(tiff) // 2], "a TIFF cut at 50 %"),
        _refused("signature.png", image[:8], "a PNG's first 8 bytes"),
    ]


def _wrong_sizes() -> list[BadInput]:
    row = bytes(1 + 20_000 // 8)
    bomb = png(20_000, 20_000, 1, 0, row * 20_000)
    strip = toy().resize((20_000, 40))
    return [
        _refused("bomb.png", bomb, f"20,000 x 20,000 pixels in {len(bomb) // 1000} kB", "photo-too-large"),
        _refused("dot.png", encode(toy().resize((1, 1)), "PNG"), "1 x 1 pixel", "photo-too-small"),
        _refused("sliver.png", encode(toy().resize((15, 300)), "PNG"), "15 x 300 pixels", "photo-too-small"),
        _refused("strip.png", encode(strip, "PNG"), "20,000 x 40 pixels", "photo-too-small"),
    ]


def _empty_scenes() -> list[BadInput]:
    ghost = toy()
    ghost.putalpha(0)
    speck = Image.new("RGB", (400, 400), BACKGROUND)
    speck.paste(BODY, (200, 200, 204, 204))
    return [
        _refused("ghost.png", encode(ghost, "PNG"), "transparent throughout", "no-subject"),
        _refused("white.png", encode(Image.new("RGB", (96, 64), "white"), "PNG"), "uniformly white", "no-subject"),
        _refused("speck.png", encode(speck, "PNG"), "a 4 x 4 speck in 400 x 400", "no-subject"),
    ]


def _odd_but_good() -> list[BadInput]:
    return [*_odd_pixels(), *_odd_files()]


def _odd_pixels() -> list[BadInput]:
    rgb = np.asarray(toy(), dtype=np.uint16)
    deep_rows = b"".join(b"\x00" + (row * 257).astype(">u2").tobytes() for row in rgb)
    deep_grey = Image.fromarray(np.asarray(toy("L"), dtype=np.uint16) * 257)
    floats = Image.fromarray(np.asarray(toy("L"), dtype=np.float32) / 255)
    palette = cutout().convert("RGB").quantize(16)
    corners = toy()
    corner_alpha = Image.new("L", corners.size, 255)
    ImageDraw.Draw(corner_alpha).polygon([(0, 0), (3, 0), (0, 3)], fill=0)
    corners.putalpha(corner_alpha)
    own = "its own transparency is the mask"
    return [
        _good("cutout.png", encode(cutout(), "PNG"), "RGBA cut-out, green hidden below", own),
        _good("half-transparent.png", encode(cutout(128), "PNG"), "cut-out at half opacity", own + ", made solid"),
        _good("rounded.png", encode(corners, "PNG"), "photo with one transparent corner", "segmented like a photo"),
        _good("grey-alpha.png", encode(cutout().convert("LA"), "PNG"), "grey with alpha (LA)", own),
        _good(
            "palette.png",
            encode(palette, "PNG", transparency=palette.getpixel((0, 0))),
            "palette with a transparent entry",
            own,
        ),
        _good("deep-grey.png", encode(deep_grey, "PNG"), "16-bit grey PNG", "scaled from 0..65535"),
        _good("deep-colour.png", png(WIDTH, HEIGHT, 16, 2, deep_rows), "16-bit RGB PNG", "scaled from 0..65535"),
        _good("float.tif", encode(floats, "TIFF"), "float TIFF", "0..1 taken as black..white"),
        _good("one-bit.png", encode(toy("L").point(lambda v: 255 * (v > 128), "1"), "PNG"), "1-bit", "black and white"),
        _good("grey.jpg", encode(toy("L"), "JPEG"), "grey JPEG", "grey"),
        _good("cmyk.jpg", encode(toy("CMYK"), "JPEG", quality=95), "CMYK JPEG, inverted as Adobe's", "as RGB"),
        _good("cmyk.tif", encode(toy("CMYK"), "TIFF"), "CMYK TIFF", "as RGB"),
        _good("ycbcr.tif", encode(toy("YCbCr"), "TIFF"), "YCbCr TIFF", "as RGB"),
        _good("lab.tif", encode(_lab(), "TIFF"), "Lab TIFF", "as RGB"),
    ]


def _lab() -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(toy(), srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted


def _odd_files() -> list[BadInput]:
    first, image, jpeg = "first frame", encode(toy(), "PNG"), encode(toy(), "JPEG", quality=95)
    frames: dict[str, object] = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT), BODY)]}
    bad_checksum = png_chunk(b"tEXt", b"Comment\x00hello")[:-4] + b"\xde\xad\xbe\xef"
    profile = zlib.compress(b"this is no colour profile at all" * 8)
    ignored = "the damaged part is ignored"
    return [
        _good("animated.gif", encode(toy(), "GIF", **frames), "animated GIF", first),
        _good("animated.webp", encode(toy(), "WEBP", lossless=True, **frames), "animated WebP", first),
        _good("animated.png", encode(toy(), "PNG", **frames), "animated PNG", first),
        _good("really-a-jpeg.png", jpeg, "JPEG named .png", "told by content"),
        _good("toy.bmp", encode(toy(), "BMP"), "BMP", "as any"),
        _good("toy.ppm", encode(toy(), "PPM"), "PPM", "as any"),
        _good("toy.jp2", encode(toy(), "JPEG2000"), "JPEG 2000", "as any"),
        _good("toy.avif", encode(toy(), "AVIF", quality=95), "AVIF", "as any"),
        _good(
            "broken-icc.png",
            with_png_chunk(image, png_chunk(b"iCCP", b"junk\x00\x00" + profile)),
            "PNG with a broken ICC profile",
            ignored,
        ),
        _good("bad-checksum.png", with_png_chunk(image, bad_checksum), "PNG comment with a wrong checksum", ignored),
        _good(
            "garbage-exif.jpg",
            with_jpeg_segment(jpeg, 0xE1, b"Exif\x00\x00II*\x00" + bytes(range(200, 240))),
            "JPEG with garbage for EXIF",
            ignored,
        ),
        _good(
            "garbage-exif.webp",
            encode(toy(), "WEBP", lossless=True, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"),
            "WebP with garbage for EXIF",
            ignored,
        ),
        _good("large.jpg", encode(toy().resize((3000, 2000)), "JPEG"), "3000 x 2000 pixels", "reduced to 2048 x 1365"),
    ]


def _turned() -> list[BadInput]:
    return [
        _good(f"orientation-{n}.jpg", turned(n), f"JPEG with EXIF orientation {n}", "turned upright")
        for n in range(1, 9)
    ]


def lift_subject(case: BadInput) -> Subject:
    """The way of a picture up to its cut-out."""
    photo = read_photo(case.data, name=case.name)
    return crop_subject(photo, select_subject(photo, BorderSegmenter()))


@functools.cache
def outcome(case: BadInput) -> tuple[str, str]:
    """(code or ``"ok"``, the sentence a user gets) of one input, from really reading it."""
    try:
        lift_subject(case)
    except InputError as error:
        return error.code, str(error)
    return OK, case.note


def table() -> str:
    """The document ``docs/bad-inputs.md``, from really reading every input."""
    lines = [
        "# Bad and odd pictures, and what each one gets",
        "",
        "Every picture of a run becomes an asset or a recorded failure; the others go on. A failure is recorded with",
        "the code and the sentence below. The files are made by `tests/bad_inputs.py`; this table is printed by",
        "`python -m tests.bad_inputs` and compared with this file by a test.",
        "",
        "`lifted` means here: read as said, its subject cut out, and on its way to the optimiser.",
        "",
        "A missing file, a folder, a device and a file without permission are `unreadable-photo` with the reason.",
        "",
        "| file | what it is | outcome | what the user gets |",
        "| --- | --- | --- | --- |",
    ]
    for case in bad_inputs(with_huge=True):
        code, sentence = outcome(case)
        # The words of the decoder are Pillow's and change with its version.
        sentence = re.sub(r" \(decoder: .*?\);", ";", sentence).replace("|", "\\|")
        result = "lifted" if code == OK else f"`{code}`"
        lines.append(f"| `{case.name}` | {case.what} | {result} | {sentence} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
