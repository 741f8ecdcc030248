"""Units of reading, and the raw pictures they give."""

from __future__ import annotations

from dataclasses import dataclass

from lift3d_ray.errors import InputError, PhotoTooLarge, UnreadablePhoto
from lift3d_ray.photo import DEFAULT_LIMITS
from lift3d_ray.store.files import Folder
from lift3d_ray.store.keys import picture_digest, prompt_digest, source_digest

MAX_FILE_BYTES = DEFAULT_LIMITS.max_bytes
"""Larger files are not read: no picture within the pixel limit needs as much."""


@dataclass(frozen=True, kw_only=True)
class InputUnit:
    """One thing to open: a picture file, or a row group of a Parquet table; or a prompt, which is all there is of it.

    Attributes:
        address: the input it came from, which names the filesystem.
        path: path on that filesystem.
        name: what people call it.
        source: path or URI of the file.
        stamp: size and time of the file.
        column: picture column of a table; "" for a picture file.
        row_group: row group of a table; -1 for a picture file.
        first_row: number of the group's first row in its table.
        rows: rows it gives.
        prompt: words to draw the picture from; "" where there is a picture.
    """

    address: str
    path: str
    name: str
    source: str
    stamp: str
    column: str = ""
    row_group: int = -1
    first_row: int = 0
    rows: int = 1
    prompt: str = ""


@dataclass(frozen=True, kw_only=True)
class RawPicture:
    """An input row: the bytes of a picture, or of the words to draw it from, or why there are none.

    Attributes:
        source: where it was read from, unique to the row.
        name: what people call it.
        stamp: size and time of its file, "" where unknown.
        data: the file's bytes; empty where ``error`` says why.
        error: why it could not be read, or None.
        drawn: the bytes are words, in UTF-8.
    """

    source: str
    name: str
    stamp: str
    data: bytes = b""
    error: InputError | None = None
    drawn: bool = False

    @property
    def digest(self) -> str:
        """The picture's identity: of its bytes, or of its source where there are none."""
        if self.error is not None:
            return source_digest(self.source, self.stamp)
        return prompt_digest(self.data.decode()) if self.drawn else picture_digest(self.data)


def source_of(place: Folder, path: str) -> str:
    """How a file is named in the manifest: its path here, or its URI elsewhere."""
    return path if place.local is not None else f"{place.address.split('://', 1)[0]}://{path}"


def read_file(place: Folder, path: str, source: str) -> bytes:
    """Bytes of a file of at most ``MAX_FILE_BYTES``.

    Raises:
        UnreadablePhoto: it cannot be opened or read.
        PhotoTooLarge: it is larger than any picture needs to be.
    """
    try:
        with place.filesystem.open_input_file(path) as stream:
            size = stream.size()
            if size > MAX_FILE_BYTES:
                raise PhotoTooLarge(f"{source} has {size:,} bytes, the limit is {MAX_FILE_BYTES:,}; shrink the picture")
            return bytes(stream.read())
    except OSError as error:
        raise UnreadablePhoto(f"cannot read {source}: {error}; check that it exists and may be read") from error
