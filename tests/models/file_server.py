"""A real file server on this machine that can misbehave in the ways that real ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Shelf:
    """What a server has, what it does, and what it was asked.

    Attributes:
        files: bytes by path.
        headers: sent with every file beside the usual ones.
        moved: paths that are answered by a redirect, and where to.
        faults: statuses to answer first, one a request.
        ranges: whether it sends parts of files.
        cut_at: byte of a file at which the connection ends, once for every entry.
        stall_at: byte of a file at which it stops sending for good.
        asked: (path, Range, Authorization) of every request.
        stalled: set when it stopped sending.
    """

    files: dict[str, bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    ranges: bool = True
    cut_at: list[int] = field(default_factory=list)
    stall_at: int | None = None
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    @property
    def ranges_asked(self) -> list[str | None]:
        return [asked[1] for asked in self.asked]


@contextmanager
def serving(shelf: Shelf) -> Iterator[Shelf]:
    """A server over this shelf for the length of the block, its ``address`` filled in."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, part = unquote(self.path), self.headers.get("Range")
            shelf.asked.append((path, part, self.headers.get("Authorization")))
            if shelf.faults:
                self._say(shelf.faults.pop(0))
            elif path in shelf.moved:
                self._say(302, {"Location": shelf.moved[path], **shelf.headers})
            elif path not in shelf.files:
                self._say(404)
            else:
                self._send(shelf.files[path], part if shelf.ranges else None)

        def _send(self, data: bytes, part: str | None) -> None:
            first = int(part.removeprefix("bytes=").rstrip("-")) if part else 0
            if part and first >= len(data):
                self._say(416, {"Content-Range": f"bytes */{len(data)}"})
                return
            self.send_response(206 if part else 200)
            if part:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - first))
            for name, value in shelf.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if shelf.stall_at is not None:
                self.wfile.write(data[first : shelf.stall_at])
                self.wfile.flush()
                shelf.stalled.set()
                closing.wait()
            elif shelf.cut_at:
                self.wfile.write(data[first : shelf.cut_at.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(data[first:])

        def _say(self, status: int, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests read ``asked``."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        shelf.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield shelf
        finally:
            closing.set()
            server.shutdown()
            thread.join()
