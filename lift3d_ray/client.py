"""A client of the HTTP service, over Python's standard library alone: submit, wait or follow, download."""

from __future__ import annotations

import http.client
import json
import mimetypes
import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from lift3d_ray.errors import ConfigError, Lift3DError

ENDED = frozenset({"succeeded", "failed", "canceled"})
"""States after which nothing more happens."""

_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0)
_BUSY = frozenset({429, 502, 503, 504})
_CHUNK = 1 << 18
_LONGEST_PAUSE_S = 60.0


class ServerError(Lift3DError):
    """The server said no, or could not be reached.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        server_code: the server's own name for what is wrong, "" where there was no answer.
    """

    code = "server"

    def __init__(self, message: str, *, status: int = 0, server_code: str = "") -> None:
        super().__init__(message)
        self.status, self.server_code = status, server_code


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a lift.

    Attributes:
        name: what it is called.
        url: where it is, relative to the server.
        media_type: what it is.
        bytes: its length.
        thing: which thing of the picture, counted from 1.
    """

    name: str
    url: str
    media_type: str
    bytes: int
    thing: int


@dataclass(frozen=True, kw_only=True)
class RemoteLift:
    """A lift as the server tells it.

    Attributes:
        id: of the lift.
        status: ``queued``, ``running``, ``succeeded``, ``failed`` or ``canceled``.
        stage: what is being done.
        progress: how much is done in all, in [0, 1].
        name: what people call the picture.
        queue_position: place in the queue, from 1, while queued.
        caption: what the subject is, once that is known.
        files: what it left.
        error: code and message, where it failed.
    """

    id: str
    status: str
    stage: str
    progress: float
    name: str
    queue_position: int | None
    caption: str | None
    files: tuple[RemoteFile, ...]
    error: Mapping[str, str] | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens."""
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class RemoteEvent:
    """Something that happened to a lift.

    Attributes:
        number: its place among the lift's events.
        kind: ``state``, ``stage``, ``progress`` or ``preview``.
        data: what about it.
    """

    number: int
    kind: str
    data: Mapping[str, Any]


class LiftClient:
    """Talks to one server. Requests that a busy or lost server may repeat are repeated."""

    def __init__(self, server: str, *, key: str | None = None, timeout_s: float = 60.0) -> None:
        """Name the server.

        Args:
            server: ``http://host:port`` or ``https://...``.
            key: API key, where the server asks for one.
            timeout_s: longest silence of the server.

        Raises:
            ConfigError: the address is none.
        """
        parts = urlsplit(server if "//" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"a server is http://host:port or https://host, got {server!r}")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._root, self._key, self._timeout_s = parts.path.rstrip("/"), key, timeout_s

    def submit(
        self,
        picture: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        recipe: str | None = None,
        quality: str | None = None,
        settings: tuple[str, ...] = (),
        seed: int = 0,
        selection: str | Mapping[str, Any] = "auto",
        best_of: int = 1,
        prompt: str | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> RemoteLift:
        """Ask for a lift. Safe to repeat: the request carries a name of its own.

        Args:
            picture: a file, or its bytes.
            name: what people call it.
            recipe: the server has a default.
            quality: the server has a default.
            settings: numbers of the recipe to exchange, ``name=value``.
            seed: of the lift.
            selection: ``auto``, ``all``, ``#2``, words, or an object as ``docs/api.md`` has it.
            best_of: seeds to lift under.
            prompt: the subject in words.
            webhook: address to tell of the end.
            idempotency_key: the request's name; a random one if not given.
        """
        if isinstance(picture, bytes):
            data, file_name = picture, name or "picture"
        else:
            data, file_name = Path(picture).read_bytes(), Path(picture).name
        chosen = selection if isinstance(selection, str) else json.dumps(selection)
        said = [("seed", str(seed)), ("selection", chosen), ("best_of", str(best_of))]
        optional = {"name": name, "recipe": recipe, "quality": quality, "prompt": prompt, "webhook": webhook}
        said += [(field, value) for field, value in optional.items() if value is not None]
        said += [("settings", setting) for setting in settings]
        kind, content = _form(said, data, file_name)
        headers = {"Content-Type": kind, "Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        return _lift(self._json("POST", "/v1/lifts", content, headers))

    def get(self, lift_id: str) -> RemoteLift:
        """A lift as it stands."""
        return _lift(self._json("GET", _path(lift_id)))

    def lifts(self, *, status: str | None = None) -> Iterator[RemoteLift]:
        """All lifts, newest first."""
        cursor: str | None = ""
        while cursor is not None:
            asked = {"status": status, "cursor": cursor or None}
            query = urlencode({name: value for name, value in asked.items() if value is not None})
            page = self._json("GET", f"/v1/lifts?{query}")
            yield from map(_lift, page["lifts"])
            cursor = page["next_cursor"]

    def cancel(self, lift_id: str) -> RemoteLift:
        """Stop a lift."""
        return _lift(self._json("POST", f"{_path(lift_id)}/cancel"))

    def delete(self, lift_id: str) -> None:
        """Take a lift and its files away."""
        self._exchange("DELETE", _path(lift_id), None, {}, lambda response: response.read())

    def wait(
        self, lift_id: str, *, poll_s: float = 1.0, told: Callable[[RemoteLift], None] | None = None
    ) -> RemoteLift:
        """A lift when it has ended.

        Args:
            lift_id: of the lift.
            poll_s: pause between two looks.
            told: told of every look.
        """
        while True:
            lift = self.get(lift_id)
            if told is not None:
                told(lift)
            if lift.ended:
                return lift
            time.sleep(poll_s)

    def events(self, lift_id: str, *, after: int = 0) -> Iterator[RemoteEvent]:
        """What happens to a lift, as it happens, to its end; a connection that is cut is taken up again."""
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(after)} if after else {})}
            connection, response = self._open("GET", f"{_path(lift_id)}/events", None, headers)
            with closing(connection):
                if response.status == http.HTTPStatus.NO_CONTENT:
                    return
                for event in _events(response):
                    after = event.number
                    yield event
                    if event.kind == "state" and event.data["state"] in ENDED:
                        return

    def download(self, lift: RemoteLift, folder: str | os.PathLike[str]) -> list[Path]:
        """Save all files of a lift; those of several things in folders of their own."""
        several = any(file.thing > 1 for file in lift.files)
        return [
            self._save(file, Path(folder) / str(file.thing) if several else Path(folder)) for file in lift.files
        ]

    def _save(self, file: RemoteFile, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / Path(file.name).name
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")

        def save(response: http.client.HTTPResponse) -> None:
            with part.open("wb") as stream:
                while chunk := response.read(_CHUNK):
                    stream.write(chunk)

        try:
            self._exchange("GET", file.url, None, {}, save)
            if part.stat().st_size != file.bytes:
                raise ServerError(f"{file.name}: {part.stat().st_size} bytes came, {file.bytes} were announced")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _json(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        return json.loads(self._exchange(method, path, content, headers or {}, lambda response: response.read()))

    def _exchange(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        take: Callable[[http.client.HTTPResponse], Any],
    ) -> Any:
        connection, response = self._open(method, path, content, headers)
        with closing(connection):
            try:
                return take(response)
            except (OSError, http.client.HTTPException) as error:
                raise ServerError(f"the answer of {self._host} broke off: {error}; try again") from error

    def _open(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A connection and its answer, when the server is neither busy nor away."""
        sent = {**headers, **({"Authorization": f"Bearer {self._key}"} if self._key else {})}
        for pause in (*_PATIENCE, None):
            connection = self._connect()
            try:
                connection.request(method, self._root + path, body=content, headers=sent)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if pause is None or isinstance(error, ssl.SSLError):
                    message = f"cannot reach {self._host}: {error}; check the address and the server"
                    raise ServerError(message) from error
                time.sleep(pause)
                continue
            if response.status < http.HTTPStatus.BAD_REQUEST:
                return connection, response
            with closing(connection):
                refused = _refusal(response)
            if response.status not in _BUSY or pause is None:
                raise refused
            time.sleep(_pause(response.headers.get("Retry-After"), pause))
        raise AssertionError("the last pause raises")

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def _pause(said: str | None, otherwise: float) -> float:
    return min(float(said), _LONGEST_PAUSE_S) if said is not None and said.isdigit() else otherwise


def _refusal(response: http.client.HTTPResponse) -> ServerError:
    """What the server said, in its words where it has any."""
    try:
        error = json.loads(response.read())["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        code, message = "", f"the server answered {response.status} {response.reason}"
    return ServerError(message, status=response.status, server_code=code)


def _path(lift_id: str) -> str:
    return f"/v1/lifts/{quote(lift_id, safe='')}"


def _lift(said: Mapping[str, Any]) -> RemoteLift:
    """A lift out of JSON; what a newer server adds is passed over."""
    files = tuple(RemoteFile(**{name: file[name] for name in _FILE_FIELDS}) for file in said["files"])
    return RemoteLift(**{name: said[name] for name in _LIFT_FIELDS}, files=files)


_FILE_FIELDS = tuple(field.name for field in fields(RemoteFile))
_LIFT_FIELDS = tuple(field.name for field in fields(RemoteLift) if field.name != "files")


def _events(response: http.client.HTTPResponse) -> Iterator[RemoteEvent]:
    """Server-sent events, as far as the connection holds."""
    said: dict[str, str] = {}
    try:
        for line in response:
            text = line.decode("utf-8").rstrip("\r\n")
            if text:
                name, _, value = text.partition(": ")
                said[name] = value
                continue
            if "event" in said:
                yield RemoteEvent(number=int(said["id"]), kind=said["event"], data=json.loads(said["data"]))
            said = {}
    except (OSError, http.client.HTTPException):
        return


def _form(said: list[tuple[str, str]], data: bytes, file_name: str) -> tuple[str, bytes]:
    """A form with one file: its media type and its bytes."""
    boundary = f"lift3d-{secrets.token_hex(16)}"
    safe = file_name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
    kind = mimetypes.guess_type(safe)[0] or "application/octet-stream"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in said
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="{safe}"\r\n'
    parts += [f"{head}Content-Type: {kind}\r\n\r\n".encode(), data, f"\r\n--{boundary}--\r\n".encode()]
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
