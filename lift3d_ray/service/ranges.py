"""Parts and versions of a file as HTTP asks for them (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lift3d_ray.errors import Clash

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*")


class RangeNotHere(Clash):
    """The file has no such bytes: status 416."""

    code = "range-not-satisfiable"


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """A part of a file.

    Attributes:
        start: first byte, from 0.
        stop: the byte behind the last one.
        size: bytes of the whole file.
    """

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        """Bytes of the part."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """Value of the header ``Content-Range``."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def wanted_range(header: str | None, size: int, *, etag: str, if_range: str | None = None) -> ByteRange | None:
    """The part that a request asks for.

    Args:
        header: its ``Range``, or None.
        size: bytes of the file.
        etag: the file's strong entity tag, with its quotes.
        if_range: its ``If-Range``: the part is wanted only of this version.

    Returns:
        The part; None = send the whole file: nothing was asked for, several parts were, the header is not understood,
        or the version is another.

    Raises:
        RangeNotHere: the file ends before the part begins.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "" or (if_range is not None and if_range.strip() != etag):
        return None
    if match[1] == "":  # the last so many bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= stop:
        raise RangeNotHere(f"the file has {size} bytes, the range {header!r} begins behind them")
    return ByteRange(start=start, stop=stop, size=size)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether a request says that it has this version already: status 304.

    Args:
        etag: the present entity tag, with its quotes.
        if_none_match: the request's ``If-None-Match``, or None.
    """
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
