"""What every request passes on its way in and out: who may knock, how much may be sent, and what browsers are told."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lift3d_ray.deployments.api.errors import ApiError

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content security policy of everything that is no page."""

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_UNLESS_SAID = {"content-security-policy": NOTHING, "cache-control": "no-store"}

Seen = Callable[[Scope, int, float], None]
"""Told of every answer: the request, its status, and the seconds until the answer began."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: bytes of a body at most, counted as they come.
        body_s: seconds until a body has to be there.
        local_only: answer this machine only, called by a loopback name: for a service that asks for no keys.
    """

    body_bytes: int
    body_s: float
    local_only: bool


class Guard:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, limits: Limits, seen: Seen) -> None:
        self._app, self._limits, self._seen = app, limits, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits, self._seen)
        try:
            exchange.check()
            await self._app(scope, exchange.receive, exchange.send)
        except ApiError as error:
            if exchange.began:
                raise
            await error.answer()(scope, receive, exchange.send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, seen: Seen) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limits, self._seen = limits, seen
        self._arrived = time.perf_counter()
        self._taken = 0
        self._whole = False
        self.began = False

    def check(self) -> None:
        """Refuse what can be refused by its head.

        Raises:
            ApiError: with the reason.
        """
        headers = Headers(scope=self._scope)
        if self._limits.local_only:
            _check_local(self._scope, headers)
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise ApiError(HTTPStatus.BAD_REQUEST, "bad-request", f"Content-Length is no number: {declared!r}")
        if int(declared[:20]) > self._limits.body_bytes:
            raise self._too_large()
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "bodies are taken as they are; send it without a Content-Encoding",
            )

    def _too_large(self) -> ApiError:
        limit = self._limits.body_bytes
        return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"a body may have {limit:,} bytes at most")

    async def receive(self) -> Message:
        """The next part of the body, as long as it is not too large or too slow."""
        if self._whole:
            return await self._receive()
        left = self._limits.body_s - (time.perf_counter() - self._arrived)
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            raise ApiError(
                HTTPStatus.REQUEST_TIMEOUT, "timeout", f"the body was not there within {self._limits.body_s:g} s"
            ) from None
        self._taken += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._taken > self._limits.body_bytes:
            raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer, its head with what browsers are told."""
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers[name] = value
            for name, value in _UNLESS_SAID.items():
                headers.setdefault(name, value)
            self._seen(self._scope, message["status"], time.perf_counter() - self._arrived)
        await self._send(message)


def _check_local(scope: Scope, headers: Headers) -> None:
    """Refuse other machines, and other people's web pages in a browser on this one.

    A page of another origin could send forms here, and one whose name was made to point here (DNS rebinding) could read
    the answers. The first says its own origin, the second its own name.
    """
    client = scope.get("client")
    if client is not None and not is_loopback(client[0]):
        raise ApiError(
            HTTPStatus.FORBIDDEN, "local-only", "without API keys this service answers its own machine only"
        )
    host = headers.get("host", "")
    if not is_loopback(_host_name(host)):
        message = f"called as {host!r}; without API keys this service answers to localhost and 127.0.0.1 only"
        raise ApiError(HTTPStatus.FORBIDDEN, "local-only", message)
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise ApiError(HTTPStatus.FORBIDDEN, "foreign-origin", f"a page of {origin!r} may not use this service")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
