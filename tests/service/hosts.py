"""Hosts on loopback that behave as told, and a network that takes public names and addresses to them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PUBLIC = "93.184.216.34"

Behave = Callable[[socket.socket, bytes], None]


@dataclass
class Host:
    """What a host was asked, and where it listens."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def host(behave: Behave) -> Iterator[Host]:
    """A host that reads a request and then does as told with the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    serving = Host(listener.getsockname()[1])
    open_now: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = _read_request(connection)
            serving.requests.append(request)
            behave(connection, request)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_now.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_now:
            connection.close()
        thread.join(5)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(status: str, body: bytes = b"", **headers: str) -> Behave:
    """A host that gives one answer."""

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(response(status, body, **headers))

    return behave


def response(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer; header names with _ for -."""
    told = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass
class FakeNetwork:
    """Names with addresses of our choice; connections to public ones end at hosts on loopback.

    Attributes:
        hosts: port on loopback by host name.
        addresses: addresses by host name, one list an answer, the last one again and again.
        resolved: names that were looked up.
        connected: addresses that were connected to.
    """

    hosts: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, list[list[str]]] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def resolve(self, name: str, port: int, timeout_s: float) -> list[str]:
        self.resolved.append(name)
        if name not in self.hosts and name not in self.addresses:
            raise OSError("its name is not known")
        answers = self.addresses.get(name, [[PUBLIC]])
        return answers[min(self.resolved.count(name), len(answers)) - 1]

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.connected.append(address)
        port_here = self.hosts[self.resolved[-1]]
        return socket.create_connection(("127.0.0.1", port_here), timeout=timeout_s)
