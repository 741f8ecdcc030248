"""Fetching one published file so that it is there whole and right, or not at all.

What arrives goes into a ``.part`` file beside its place; a download that was broken off, even by a kill, goes on there.
Only what has the published size and SHA-256 gets its name. The Hub's own client begins a broken file anew, which for
files of gigabytes is why this is not it; addresses, mirrors (``HF_ENDPOINT``), tokens and proxies are as for that one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from lift3d_ray.errors import BundleError, ConfigError

if TYPE_CHECKING:
    import httpx2

HUB = "https://huggingface.co"
ATTEMPTS = 5
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same question may be answered."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")

Report = Callable[[int], None]
"""Told how many more bytes there are; fewer than none where a file is begun anew."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        url: where from.
        path: where to.
        size_bytes: its size, where it is published.
        sha256: its digest in hex, where it is published.
        from_hub: whether a Hub's token may be shown there, and what the Hub says of the file believed.
    """

    url: str
    path: Path
    size_bytes: int | None = None
    sha256: str | None = None
    from_hub: bool = False


@dataclass(frozen=True, kw_only=True)
class FetchedFile:
    """A file that is there.

    Attributes:
        path: where.
        size_bytes: its size.
        sha256: its digest in hex.
        commit: the Hub's revision that it was fetched from, or None where it was not said.
    """

    path: Path
    size_bytes: int
    sha256: str
    commit: str | None = None


def hub_url(repo: str, path: str, revision: str | None = None) -> str:
    """Address of a file of a Hub repository, at ``HF_ENDPOINT`` where that is set; no revision = the newest.

    Raises:
        ConfigError: ``HF_ENDPOINT`` is no address.
    """
    endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"HF_ENDPOINT is {endpoint!r}, wanted an address such as {HUB}")
    return f"{endpoint}/{repo}/resolve/{quote(revision or 'main', safe='')}/{quote(path)}"


@contextmanager
def open_client() -> Iterator[httpx2.Client]:
    """A client for ``fetch``: proxies as the environment names them.

    Raises:
        ConfigError: the environment says that nothing may be fetched.
    """
    import httpx2

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ConfigError("HF_HUB_OFFLINE is set, so nothing is fetched: unset it to pull models")
    limits = httpx2.Timeout(60.0, connect=20.0)
    with httpx2.Client(follow_redirects=True, timeout=limits, headers={"Accept-Encoding": "identity"}) as client:
        yield client


def fetch(
    file: RemoteFile,
    client: httpx2.Client,
    *,
    report: Report = lambda more: None,
    sleep: Callable[[float], None] = time.sleep,
) -> FetchedFile:
    """Fetch a file, going on where an earlier call was broken off.

    Args:
        file: which one.
        client: from ``open_client``.
        report: told about every block.
        sleep: how to wait between attempts.

    Raises:
        BundleError: it cannot be had, or what is had is not what was published.
    """
    import httpx2

    file.path.parent.mkdir(parents=True, exist_ok=True)
    with _own_part(file) as part:
        for attempt in range(1, ATTEMPTS + 1):
            begun = _size(part)
            try:
                facts = _receive(file, client, part, report)
            except (_Passing, httpx2.TransportError) as error:
                if attempt == ATTEMPTS:
                    raise BundleError(_unreachable(file, part, error)) from error
                sleep(2.0 ** (attempt - 1))
                continue
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise BundleError(f"{file.url} cannot be fetched: {error}") from error
            sha256 = file_sha256(part.name)
            fault = _fault(file.url, _size(part), sha256, facts)
            if fault is None:
                os.fsync(part.fileno())
                os.replace(part.name, file.path)
                return FetchedFile(path=file.path, size_bytes=_size(part), sha256=sha256, commit=facts.commit)
            report(-_size(part))
            part.truncate(0)
            if not begun:
                raise BundleError(fault)
            # What was begun earlier may have been of another edition of the file: once more from its first byte.
    raise BundleError(fault or f"{file.url} could not be fetched")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What is known of a file: published beforehand, or said by who sent it."""

    size_bytes: int | None
    sha256: str | None
    commit: str | None


class _Passing(Exception):
    """Something that may be over at the next attempt."""


@contextmanager
def _own_part(file: RemoteFile) -> Iterator[IO[bytes]]:
    """The file's ``.part``, open for appending and locked against other pulls."""
    with file.path.with_name(file.path.name + ".part").open("ab") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BundleError(f"{part.name} is being written by another pull: wait for it, or stop it") from None
        try:
            yield part
        finally:
            if _size(part) == 0:
                Path(part.name).unlink(missing_ok=True)


def _size(part: IO[bytes]) -> int:
    return os.fstat(part.fileno()).st_size


def _receive(file: RemoteFile, client: httpx2.Client, part: IO[bytes], report: Report) -> _Facts:
    """Append what is missing of a file to its part.

    Raises:
        _Passing: not all of it came.
        BundleError: it is not to be had there.
    """
    begun = _size(part)
    headers = _credentials(file) | ({"Range": f"bytes={begun}-"} if begun else {})
    with client.stream("GET", file.url, headers=headers) as answer:
        facts = _facts(file, answer)
        if answer.status_code == 416:
            if begun == facts.size_bytes:
                return facts
            report(-begun)
            part.truncate(0)
            raise _Passing(f"{begun} bytes are more than there are")
        if answer.status_code in _PASSING:
            raise _Passing(f"the server answered {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise BundleError(_refused(file, answer.status_code))
        if begun and _first_byte(answer) != begun:
            # The server sends the whole file again.
            report(-begun)
            part.truncate(0)
        for block in answer.iter_bytes():
            # As it comes, and flushed: a kill loses nothing that has arrived.
            part.write(block)
            part.flush()
            report(len(block))
    if facts.size_bytes is not None and _size(part) < facts.size_bytes:
        raise _Passing(f"the connection ended after {_size(part)} of {facts.size_bytes} bytes")
    return facts


def _first_byte(answer: httpx2.Response) -> int:
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(match[1]) if answer.status_code == 206 and match and match[1] else 0


def _facts(file: RemoteFile, answer: httpx2.Response) -> _Facts:
    """What was published, and where that says nothing, what the Hub or the server says."""
    said = {name.lower(): one.headers[name] for one in (*answer.history, answer) for name in one.headers}
    total = _RANGE.fullmatch(said.get("content-range", ""))
    length = said.get("content-length", "")
    size = None
    if total and total[2] != "*":
        size = int(total[2])
    elif answer.status_code == 200 and length.isdigit() and "content-encoding" not in said:
        size = int(length)
    digest = said.get("x-linked-etag", "").strip('"') if file.from_hub else ""
    return _Facts(
        size_bytes=file.size_bytes if file.size_bytes is not None else size,
        sha256=file.sha256 or (digest if _SHA256.fullmatch(digest) else None),
        commit=said.get("x-repo-commit") if file.from_hub else None,
    )


def _credentials(file: RemoteFile) -> dict[str, str]:
    if not file.from_hub:
        return {}
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _fault(url: str, size_bytes: int, sha256: str, wanted: _Facts) -> str | None:
    """A sentence where the bytes are not the wanted ones."""
    todo = "it was changed at its source or on the way; nothing of it is kept"
    if wanted.size_bytes is not None and size_bytes != wanted.size_bytes:
        return f"{url} has {size_bytes} bytes, wanted {wanted.size_bytes}: {todo}"
    if wanted.sha256 is not None and sha256 != wanted.sha256:
        return f"{url} has SHA-256 {sha256}, wanted {wanted.sha256}: {todo}"
    return None


def _refused(file: RemoteFile, status: int) -> str:
    reason = {
        401: "it wants a token: accept the model's licence on the Hub and set HF_TOKEN",
        403: "it wants a token: accept the model's licence on the Hub and set HF_TOKEN",
        404: "there is no such file: it was moved or withdrawn, or the mirror lacks it",
    }.get(status, "it cannot be had there")
    return f"{file.url} answered {status}: {reason}. Got elsewhere, it belongs at {file.path}"


def _unreachable(file: RemoteFile, part: IO[bytes], error: Exception) -> str:
    return (
        f"{file.url} could not be fetched in {ATTEMPTS} attempts ({error or type(error).__name__}); {_size(part)} "
        f"bytes are kept, and the same command goes on there. Got elsewhere, it belongs at {file.path}"
    )
