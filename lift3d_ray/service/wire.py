"""One HTTP exchange with a public host, within a time and a size that do not depend on the host's good will.

The standard library's client, because the socket is ours: it is connected to the address that was checked, for TLS too,
and it is cut at the deadline whatever trickles in. Proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from lift3d_ray.errors import ConfigError, FetchFailed
from lift3d_ray.service.addresses import Place, check_addresses

_CHUNK = 64 * 1024
_MOST_ADDRESSES = 4
_ALWAYS = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "lift3d-ray"}


class Network(Protocol):
    """How names become addresses and addresses connections."""

    def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """All addresses of a name. Raises OSError."""
        ...

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection. Raises OSError."""
        ...


class Internet:
    """The system's resolver and sockets."""

    def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        """All addresses of a name."""
        answers: queue.Queue[list[str] | OSError | UnicodeError] = queue.Queue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put([str(sockaddr[0]) for *_, sockaddr in found])
            except (OSError, UnicodeError) as error:
                answers.put(error)

        # The system's resolver knows no time limit; a thread of its own can be left behind.
        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=timeout_s)
        except queue.Empty as error:
            raise TimeoutError("its name was not resolved in time") from error
        if isinstance(answer, list):
            return answer
        raise OSError(f"its name is not known: {answer}")

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection."""
        return socket.create_connection((address, port), timeout=timeout_s)


@dataclass(frozen=True, kw_only=True)
class WireLimits:
    """What one exchange may take.

    Attributes:
        total_s: seconds from the first look-up to the last byte.
        connect_s: seconds until the connection stands.
        max_bytes: bytes of the answer.
    """

    total_s: float = 30.0
    connect_s: float = 10.0
    max_bytes: int = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("total_s", "connect_s", "max_bytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a host answered.

    Attributes:
        status: HTTP status.
        location: where a redirect points, "" where there is none.
        retry_after: its ``Retry-After``, "" where there is none.
        body: its bytes; empty unless the status is 200.
    """

    status: int
    location: str
    retry_after: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Wire:
    """Exchanges with public hosts.

    Attributes:
        network: names and connections.
        limits: what an exchange may take.
        tls: what a host's certificate is checked by.
    """

    network: Network = field(default_factory=Internet)
    limits: WireLimits = field(default_factory=WireLimits)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def exchange(
        self, place: Place, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read the answer. Redirects are answers; following them is the caller's business.

        Args:
            place: where to; its name is resolved here, and every address it has must be public.
            method: HTTP method.
            body: what to send.
            headers: beside those that every request has.

        Raises:
            FetchRefused: the host is not a public one.
            FetchFailed: no connection, no answer, one that is too large or too slow, or no HTTP.
        """
        deadline = time.monotonic() + self.limits.total_s
        try:
            with self._connected(place, deadline) as connection:
                sent = {**_ALWAYS, "Host": place.authority, **(headers or {})}
                connection.request(method, place.target, body=body, headers=sent)
                response = connection.getresponse()
                answer = self._read(response, place)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise self._too_slow(place) from error
            raise FetchFailed(f"{place.host} did not answer: {_words(error)}") from error
        if time.monotonic() >= deadline:
            # The connection was cut, and what was read until then may look whole.
            raise self._too_slow(place)
        return answer

    def _too_slow(self, place: Place) -> FetchFailed:
        return FetchFailed(f"{place.host} took longer than {self.limits.total_s:g} s; try another host")

    @contextmanager
    def _connected(self, place: Place, deadline: float) -> Iterator[http.client.HTTPConnection]:
        """A connection to a checked address, which is cut at the deadline."""
        addresses = self.network.resolve(place.host, place.port, self._left(deadline))
        check_addresses(place, addresses)
        plain = self._connect(place, addresses, deadline)
        # A copy of the descriptor, so that the cut reaches the connection below TLS.
        cutter = socket.socket(fileno=os.dup(plain.fileno()))
        timer = threading.Timer(self._left(deadline), _cut, args=(cutter,))
        timer.daemon = True
        timer.start()
        connection = http.client.HTTPConnection(place.host, place.port, timeout=self.limits.total_s)
        try:
            plain.settimeout(self._left(deadline))
            connection.sock = plain
            connection.auto_open = 0  # never a second connection, to an address that nobody checked
            if place.scheme == "https":
                connection.sock = self.tls.wrap_socket(plain, server_hostname=place.host)
            yield connection
        finally:
            timer.cancel()
            connection.close()
            plain.close()
            cutter.close()

    def _connect(self, place: Place, addresses: list[str], deadline: float) -> socket.socket:
        """A connection to the first of the addresses that takes it."""
        failed: OSError = OSError("its name has no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return self.network.connect(address, place.port, min(self.limits.connect_s, self._left(deadline)))
            except OSError as error:
                failed = error
        raise failed

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        return left

    def _read(self, response: http.client.HTTPResponse, place: Place) -> Answer:
        if response.status != http.HTTPStatus.OK:
            return _answer(response, b"")
        most = self.limits.max_bytes
        declared = response.getheader("Content-Length")
        if declared is not None and int(declared) > most:
            raise FetchFailed(f"{place.host} would send {int(declared):,} bytes; at most {most:,} are read")
        packed = response.getheader("Content-Encoding", "identity")
        if packed.lower() != "identity":
            raise FetchFailed(f"{place.host} sends it packed ({packed!r}), which it was not asked for")
        data = bytearray()
        while chunk := response.read(_CHUNK):
            data += chunk
            if len(data) > most:
                raise FetchFailed(f"{place.host} sends more than {most:,} bytes, the most that is read")
        if declared is not None and int(declared) != len(data):
            raise OSError(f"it sent {len(data):,} of {int(declared):,} bytes")
        return _answer(response, bytes(data))


def _answer(response: http.client.HTTPResponse, body: bytes) -> Answer:
    return Answer(
        status=response.status,
        location=response.getheader("Location", ""),
        retry_after=response.getheader("Retry-After", ""),
        body=body,
    )


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


def _words(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__
