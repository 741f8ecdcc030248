"""Bytes to photos: every odd picture gets exactly what it must, and what is read is what was drawn."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from lift3d_ray.errors import ConfigError, InputError, PhotoTooLarge, PhotoTooSmall, UnreadablePhoto
from lift3d_ray.photo import PhotoLimits, load_photo, read_photo
from lift3d_ray.photo_container import exif_orientation, looks_like, picture_format, without_metadata
from tests.bad_inputs import (
    BODY,
    KNOB,
    OK,
    BadInput,
    bad_inputs,
    cutout,
    encode,
    exif,
    outcome,
    table,
    toy,
    turned,
    with_jpeg_segment,
)

CASES = bad_inputs()
DOCUMENT = Path(__file__).parents[1] / "docs" / "bad-inputs.md"
GREY = {"deep-grey.png", "float.tif", "grey.jpg", "grey-alpha.png"}
COARSE = {"one-bit.png", "palette.png", "large.jpg"}
LEVELS = {"cmyk.jpg": 12, "toy.jp2": 4, "animated.gif": 12, "toy.avif": 12, "lab.tif": 12}


def by_name(name: str) -> BadInput:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_odd_picture_gets_what_it_must(case: BadInput) -> None:
    code, sentence = outcome(case)
    assert code == case.expectation, sentence
    if code != OK:
        assert sentence.startswith(f"{case.name}: ")


def test_there_are_enough_odd_pictures_and_their_names_differ() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 24
    assert len(set(names)) == len(names)
    assert {"ok", "unreadable-photo", "photo-too-large", "photo-too-small", "no-subject"} == {
        case.expectation for case in CASES
    }


def test_the_document_is_true() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == table(), "run: python -m tests.bad_inputs > docs/bad-inputs.md"


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expectation == OK and case.name not in COARSE], ids=lambda case: case.name
)
def test_what_is_read_is_what_was_drawn(case: BadInput) -> None:
    photo = read_photo(case.data, name=case.name)
    wanted = np.asarray(toy("L").convert("RGB") if case.name in GREY else toy(), dtype=np.int16)
    seen = np.ones(wanted.shape[:2], bool) if photo.alpha_HW is None else photo.alpha_HW == photo.alpha_HW.max()
    assert photo.rgb_HWC.shape == wanted.shape
    assert photo.rgb_HWC.dtype == np.uint8
    difference = np.abs(photo.rgb_HWC - wanted).max(axis=-1)[seen]
    # Lossy formats ring at the outline; flat parts must be right.
    assert np.percentile(difference, 90) <= LEVELS.get(case.name, 6)


def test_the_alpha_of_a_cutout_is_kept_and_what_it_hides_is_not() -> None:
    photo = read_photo(by_name("cutout.png").data, name="cutout.png")
    assert photo.alpha_HW is not None
    np.testing.assert_allclose(photo.alpha_HW, np.asarray(cutout().getchannel("A")) / 255, atol=1e-6)
    assert (photo.rgb_HWC[photo.alpha_HW == 0] == 255).all()


def test_reducing_a_cutout_lets_no_hidden_colour_into_its_rim() -> None:
    large = cutout(hidden=(0, 255, 0)).resize((960, 640), Image.Resampling.NEAREST)
    photo = read_photo(encode(large, "PNG"), name="x", limits=PhotoLimits(working_side_px=96))
    assert photo.alpha_HW is not None
    rim = photo.rgb_HWC[(photo.alpha_HW > 0.1) & (photo.alpha_HW < 0.9)].astype(int)
    assert len(rim) > 20
    assert (rim[:, 1] < 235).all()  # the background drawn below the rim has 230; the hidden green 255
    assert photo.rgb_HWC.shape == (64, 96, 3)


def test_an_opaque_alpha_channel_is_no_cutout() -> None:
    picture = toy("RGBA")
    assert read_photo(encode(picture, "PNG"), name="x").alpha_HW is None


def test_the_digest_is_that_of_the_file() -> None:
    data = encode(toy(), "PNG")
    photo = read_photo(data, name="a/b.png")
    assert photo.digest == hashlib.sha256(data).hexdigest()
    assert photo.name == "a/b.png"


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_orientation_is_applied_in_other_formats(kind: str) -> None:
    stored = toy().transpose(Image.Transpose.ROTATE_90)
    options: dict[str, object] = {"tiffinfo": {274: 6}} if kind == "TIFF" else {"exif": exif(6)}
    if kind == "WEBP":
        options["lossless"] = True
    photo = read_photo(encode(stored, kind, **options), name="x")
    np.testing.assert_array_equal(photo.rgb_HWC, np.asarray(toy()))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_parsed_in_both_byte_orders(order: str, orientation: int) -> None:
    magic = b"II*\x00" if order == "<" else b"MM\x00*"
    other = struct.pack(order + "HHII", 0x010F, 2, 4, 0)
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    block = magic + struct.pack(order + "IH", 8, 2) + other + entry
    assert exif_orientation(block) == orientation
    assert exif_orientation(b"Exif\x00\x00" + block) == orientation


@pytest.mark.parametrize(
    "block", [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"XX*\x00" + bytes(40), exif(9), exif(0)]
)
def test_orientation_of_damaged_exif_is_upright(block: bytes) -> None:
    assert exif_orientation(block) == 1


def test_metadata_goes_and_pixels_stay() -> None:
    data = with_jpeg_segment(turned(6), 0xFE, b"a comment that must go")
    clean, orientation = without_metadata(data, "JPEG")
    assert orientation == 6
    assert b"a comment" not in clean
    assert b"Exif" not in clean
    stored = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(clean))), stored)


def swapped_profile() -> bytes:
    """sRGB's profile with red and blue exchanged: a picture that carries it means the opposite."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_colour_profile_is_followed(kind: str) -> None:
    data = encode(toy(), kind, icc_profile=swapped_profile(), **({"lossless": True} if kind == "WEBP" else {}))
    photo = read_photo(data, name="x")
    np.testing.assert_allclose(photo.rgb_HWC[40, 40], BODY[::-1], atol=2)


def test_a_profile_for_other_pixels_is_ignored() -> None:
    photo = read_photo(encode(toy("L"), "PNG", icc_profile=swapped_profile()), name="x")
    np.testing.assert_array_equal(photo.rgb_HWC[..., 0], np.asarray(toy("L")))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, 128.0, 255.0]), [0, 128, 255]),
        (np.array([-5.0, 0.0, 5.0]), [0, 128, 255]),
        (np.array([0.0, 500.0, 1000.0]), [0, 128, 255]),
        (np.array([0.0, np.nan, 1.0]), [0, 0, 255]),
    ],
)
def test_float_levels_are_scaled_not_clipped(values: np.ndarray, wanted: list[int]) -> None:
    picture = np.zeros((32, 30), np.float32)
    picture[:, :10], picture[:, 10:20], picture[:, 20:] = values
    photo = read_photo(encode(Image.fromarray(picture), "TIFF"), name="x")
    assert photo.rgb_HWC[16, [5, 15, 25], 0].tolist() == wanted


def test_a_float_picture_of_nothing_is_refused() -> None:
    data = encode(Image.fromarray(np.full((32, 32), np.nan, np.float32)), "TIFF")
    with pytest.raises(UnreadablePhoto, match="finite"):
        read_photo(data, name="x")


def test_a_transparent_level_of_16_bit_grey_is_followed() -> None:
    grey = np.full((32, 32), 40_000, np.uint16)
    grey[:, :16] = 1000
    photo = read_photo(encode(Image.fromarray(grey), "PNG", transparency=1000), name="x")
    assert photo.alpha_HW is not None
    assert (photo.alpha_HW[:, :16] == 0).all()
    assert (photo.alpha_HW[:, 16:] == 1).all()
    assert photo.rgb_HWC[0, 20].tolist() == [156] * 3


def test_large_pictures_are_reduced_and_keep_their_shape() -> None:
    photo = read_photo(by_name("large.jpg").data, name="x")
    assert photo.rgb_HWC.shape == (1365, 2048, 3)
    np.testing.assert_allclose(photo.rgb_HWC[850, 850], BODY, atol=4)
    np.testing.assert_allclose(photo.rgb_HWC[270, 850], KNOB, atol=4)


@pytest.mark.parametrize("case", ["bomb.png", "dot.png"])
def test_sizes_are_judged_before_decoding(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises((PhotoTooLarge, PhotoTooSmall)):
        read_photo(by_name(case).data, name="x")


def test_limits_are_the_callers() -> None:
    data = encode(toy(), "PNG")
    with pytest.raises(PhotoTooLarge, match=r"96 x 64 pixels; at most 0\.006 megapixels"):
        read_photo(data, name="x", limits=PhotoLimits(max_pixels=6000))
    with pytest.raises(PhotoTooLarge, match="MiB"):
        read_photo(data, name="x", limits=PhotoLimits(max_bytes=len(data) - 1))
    with pytest.raises(PhotoTooSmall, match="at least 65"):
        read_photo(data, name="x", limits=PhotoLimits(min_side_px=65))
    assert read_photo(data, name="x", limits=PhotoLimits(max_bytes=len(data))).rgb_HWC.shape == (64, 96, 3)


@pytest.mark.parametrize("field", ["max_pixels", "max_bytes", "min_side_px", "working_side_px"])
def test_senseless_limits_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        PhotoLimits(**{field: 0})


def test_files_are_read_whatever_their_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(encode(toy(), "PNG"))
    assert load_photo(path).name == "picture.txt"
    np.testing.assert_array_equal(load_photo(str(path)).rgb_HWC, np.asarray(toy()))


def test_files_that_cannot_be_opened_give_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadablePhoto, match="No such file"):
        load_photo(tmp_path / "missing.png")
    with pytest.raises(UnreadablePhoto, match="folder"):
        load_photo(tmp_path)
    with pytest.raises(UnreadablePhoto, match="null"):
        load_photo("a\0b.png")
    path = tmp_path / "secret.png"
    path.write_bytes(encode(toy(), "PNG"))

    def forbidden(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(UnreadablePhoto, match="Permission denied"):
        load_photo(path)


def test_a_file_too_long_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(bytes(100))
    monkeypatch.delattr(Path, "read_bytes")
    with pytest.raises(PhotoTooLarge):
        load_photo(path, limits=PhotoLimits(max_bytes=99))


def test_a_pipe_is_refused_instead_of_waited_for() -> None:
    with pytest.raises(UnreadablePhoto, match="device or a pipe"):
        load_photo("/dev/null")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b"PK\x03\x04....", "ZIP"),
        (b"plain words", "text ('plain words')"),
        ("ä".encode() * 600, "text"),
        (b"\xff\x00\x01", "binary"),
        (b"\x00\x00\x00\x18ftypisom", "video"),
    ],
)
def test_strangers_are_named(data: bytes, words: str) -> None:
    assert picture_format(data) is None
    assert words in looks_like(data)


def readable_cuts(data: bytes) -> list[int]:
    """At which lengths a cut file is still read, and read wrongly."""
    whole = read_photo(data, name="x").rgb_HWC
    wrong = []
    for length in range(1, len(data), 7):
        try:
            if not np.array_equal(read_photo(data[:length], name="x").rgb_HWC, whole):
                wrong.append(length)
        except InputError:
            pass
    return wrong


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "JPEG2000"])
def test_no_cut_file_gives_half_a_picture(kind: str) -> None:
    assert readable_cuts(encode(toy(), kind)) == []


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """A file with a few bytes changed, sometimes cut as well."""
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 6))):
        changed[int(generator.integers(len(changed)))] = int(generator.integers(256))
    return bytes(changed[: int(generator.integers(1, len(changed)))] if generator.random() < 0.3 else changed)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_raise_input_errors_only() -> None:
    generator = np.random.default_rng(3)
    pool = [case.data for case in CASES if case.expectation == OK and case.name != "large.jpg"]
    refused = 0
    for index in range(600):
        try:
            read_photo(mutated(pool[index % len(pool)], generator), name="x")
        except InputError:
            refused += 1
    assert refused > 100


def test_reading_is_thread_safe_and_leaves_pillow_alone() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    good = [case for case in CASES if case.expectation == OK]
    alone = [read_photo(case.data, name=case.name).rgb_HWC for case in good]
    read: Callable[[BadInput], np.ndarray] = lambda case: read_photo(case.data, name=case.name).rgb_HWC  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, good))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
