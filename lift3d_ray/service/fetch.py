"""Pictures in by address: a URL, a data URI, or an object store's URI where whoever runs the service allows it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import urljoin

import pyarrow as pa
import pyarrow.fs as pafs

from lift3d_ray import photo_container
from lift3d_ray.errors import ConfigError, FetchFailed, FetchRefused, UnreadablePhoto
from lift3d_ray.service.addresses import Place, parse_url
from lift3d_ray.service.wire import Wire

_DATA_URI = re.compile(
    r"data:(image/[a-z0-9.+-]{1,60})?(;[a-z0-9=._-]{1,60})?;base64,(?P<base64>[A-Za-z0-9+/_=-]*)", re.IGNORECASE
)
_STORED = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._/ +=,()-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches pictures.

    Attributes:
        wire: exchanges with public hosts; its ``limits.max_bytes`` holds for every kind of address.
        prefixes: folders of object stores that may be read, such as ``s3://bucket/pictures``; none by default.
        max_redirects: redirects that are followed.
    """

    wire: Wire = field(default_factory=Wire)
    prefixes: tuple[str, ...] = ()
    max_redirects: int = 3

    def __post_init__(self) -> None:
        for prefix in self.prefixes:
            if _STORED.fullmatch(prefix) is None or prefix.startswith(("http:", "https:")):
                raise ConfigError(f"a folder to read from is a plain URI such as s3://bucket/folder, got {prefix!r}")

    def fetch(self, address: str) -> bytes:
        """The bytes of a picture.

        Args:
            address: ``https://``, ``http://``, ``data:image/...;base64,``, or a URI under one of the prefixes.

        Returns:
            The bytes, which begin like a picture's. ``photo.read_photo`` is what decodes them and says the rest.

        Raises:
            FetchRefused: the address is not fetched from.
            FetchFailed: it is, but gave nothing usable.
            UnreadablePhoto: what it gave is no picture.
        """
        kind = address.split(":", 1)[0].lower()
        if kind == "data":
            data = self._unpack(address)
        elif kind in ("http", "https"):
            data = self._download(parse_url(address))
        else:
            data = self._read_stored(address)
        if photo_container.picture_format(data) is None:
            raise UnreadablePhoto(
                f"what came from {_shown(address)} looks like {photo_container.looks_like(data)}; "
                f"wanted a picture in {photo_container.READABLE}"
            )
        return data

    def _unpack(self, uri: str) -> bytes:
        """The bytes in a data URI."""
        most = self.wire.limits.max_bytes
        if len(uri) > most * 4 // 3 + 1000:
            raise FetchFailed(f"the data URI has {len(uri):,} letters, more than {most:,} bytes need; send less")
        match = _DATA_URI.fullmatch(uri)
        if match is None:
            raise FetchRefused(f"{_shown(uri)} is no data URI of a picture; wanted data:image/png;base64,...")
        try:
            text = match["base64"].replace("-", "+").replace("_", "/").rstrip("=")
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise FetchFailed(f"{_shown(uri)} is not whole: {error}") from error

    def _download(self, place: Place) -> bytes:
        """The bytes at a URL; every redirect is checked like the first address."""
        for _ in range(self.max_redirects + 1):
            answer = self.wire.exchange(place, headers={"Accept": "image/*"})
            if answer.status == 200:
                return answer.body
            if answer.status not in _REDIRECTS or not answer.location:
                raise FetchFailed(f"{place.host} answered with status {answer.status} instead of a picture")
            following = parse_url(urljoin(place.url, answer.location))
            if (place.scheme, following.scheme) == ("https", "http"):
                raise FetchRefused(f"{place.host} redirects from https to http, which is not followed")
            place = following
        raise FetchFailed(f"{place.host} redirects more than {self.max_redirects} times")

    def _read_stored(self, uri: str) -> bytes:
        """The bytes of an object, under one of the prefixes."""
        parts = uri.split("/")
        plain = _STORED.fullmatch(uri) is not None and not {".", "..", ""} & set(parts[3:])
        if not plain or not any(uri.startswith(f"{prefix.rstrip('/')}/") for prefix in self.prefixes):
            readable = ", ".join(("https", "http", "data URIs", *self.prefixes))
            raise FetchRefused(f"{_shown(uri)} is not fetched; this service reads {readable}")
        most = self.wire.limits.max_bytes
        try:
            filesystem, path = pafs.FileSystem.from_uri(uri)
            with filesystem.open_input_file(path) as stream:
                if stream.size() > most:
                    raise FetchFailed(f"{_shown(uri)} has {stream.size():,} bytes; at most {most:,} are read")
                return bytes(stream.read())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FetchFailed(f"{_shown(uri)} cannot be read; check that it exists and this service may") from error


def _shown(address: str) -> str:
    """As much of an address as helps to recognise it."""
    return repr(address if len(address) <= 100 else f"{address[:100]}...")
