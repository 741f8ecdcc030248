"""Server-sent events: what happens to a lift, as it happens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from http import HTTPStatus

from lift3d_ray.deployments.api.errors import ApiError
from lift3d_ray.deployments.api.parts import ApiConfig, Threads
from lift3d_ray.errors import NotHere
from lift3d_ray.service.jobs import ENDED, Event
from lift3d_ray.service.store import JobStore

KEEP_ALIVE_S = 15.0
"""Longest silence: proxies take longer ones for a dead connection."""
RETRY_MS = 1000
"""Pause that a browser makes before it comes again."""
_LARGEST_NUMBER = 2**31 - 1


class Streams:
    """The open event streams of this process.

    Args:
        store: the jobs.
        threads: where the store is asked.
        config: how many streams, and for how long.
    """

    def __init__(self, store: JobStore, threads: Threads, config: ApiConfig) -> None:
        self._store, self._threads, self._config = store, threads, config
        self.open = 0

    async def follow(self, job_id: str, owner: str, after: int) -> AsyncIterator[bytes]:
        """The stream of one job from an event on, until the job has ended.

        Raises:
            ApiError: too many streams are open.
        """
        if self.open >= self._config.streams:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-much",
                f"{self.open} event streams are open; ask for the lift itself now and then",
                headers={"Retry-After": "10"},
            )
        return self._frames(job_id, owner, after)

    async def _frames(self, job_id: str, owner: str, after: int) -> AsyncIterator[bytes]:
        until, spoke = time.monotonic() + self._config.stream_s, time.monotonic()
        self.open += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while time.monotonic() < until:
                try:
                    events = await self._ask(job_id, owner, after)
                except NotHere:
                    return  # deleted meanwhile
                for event in events:
                    yield frame(event, job_id)
                    after, spoke = event.number, time.monotonic()
                if events and is_last(events[-1]):
                    return
                if time.monotonic() - spoke > KEEP_ALIVE_S:
                    yield b": still here\n\n"
                    spoke = time.monotonic()
                await asyncio.sleep(0 if events else self._config.poll_s)
        finally:
            self.open -= 1

    async def _ask(self, job_id: str, owner: str, after: int) -> list[Event]:
        return await self._threads.store(lambda: self._store.events(job_id, owner, after=after))


def is_last(event: Event) -> bool:
    """Whether nothing comes after it."""
    return event.kind == "state" and event.data.get("state") in ENDED


def frame(event: Event, job_id: str) -> bytes:
    """An event on the wire; a preview's says where the picture is."""
    data = dict(event.data)
    if event.kind == "preview":
        data["url"] = file_url(job_id, str(data.pop("name")))
    return f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n".encode()


def file_url(job_id: str, name: str) -> str:
    """Where a file of a lift is, or a picture of one on its way."""
    return f"/v1/lifts/{job_id}/files/{name}"


def last_event(text: str | None) -> int:
    """The number that a client says it knows already.

    Raises:
        ApiError: it is no number of ours.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST_NUMBER):
        raise ApiError(HTTPStatus.BAD_REQUEST, "bad-request", f"Last-Event-ID is a number we gave; got {text[:80]!r}")
    return int(text)
