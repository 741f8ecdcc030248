"""What the API is made over: everything that a test may replace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from lift3d_ray.deployments.api.errors import ApiError
from lift3d_ray.errors import ConfigError
from lift3d_ray.models.roles import Models
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.store import JobStore

T = TypeVar("T")

Enter = Callable[[str | None], str]
"""The API key that a request brought, or None -> its owner.

Raises ``NotAllowed``, or ``TooMuch`` where the key was used too often."""

Fetch = Callable[[str], "Fetched"]
"""An address -> the bytes that are there; raises an ``InputError``."""

Health = Callable[[], Mapping[str, str]]
"""What is wrong with each part of the service, "" where nothing is."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A picture from elsewhere.

    Attributes:
        data: its bytes.
        name: what people call it.
    """

    data: bytes
    name: str


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """How the API behaves.

    Attributes:
        recipe: of orders that name none.
        quality: of orders that name none.
        local_only: no API keys, and nobody but this machine.
        settings: whether orders may exchange numbers of a recipe, which can make a lift as long and large as one likes.
        body_bytes: bytes of a request at most.
        body_s: seconds until a request has to be there.
        batch_items: lifts of one batch at most.
        model_calls: questions to the shared models at once; twice as many more may wait.
        streams: open event streams at most.
        stream_s: length of one event stream, after which the client comes again.
        poll_s: time between two looks of an event stream.
        web: folder of the page, or None.
    """

    recipe: str = "make-it-3d"
    quality: str = "standard"
    local_only: bool = True
    settings: bool = True
    body_bytes: int = 32 << 20
    body_s: float = 60.0
    batch_items: int = 500
    model_calls: int = 8
    streams: int = 200
    stream_s: float = 1800.0
    poll_s: float = 0.4
    web: Path | None = None

    def __post_init__(self) -> None:
        for name in ("body_bytes", "body_s", "batch_items", "model_calls", "streams", "stream_s", "poll_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


class Threads:
    """Where blocking work happens, so that the event loop never waits. One pool never starves another."""

    def __init__(self, model_calls: int) -> None:
        self._store = ThreadPoolExecutor(16, thread_name_prefix="store")
        self._decode = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._fetch = ThreadPoolExecutor(8, thread_name_prefix="fetch")
        self._models = ThreadPoolExecutor(model_calls, thread_name_prefix="models")
        self._most, self._asking = 3 * model_calls, 0

    async def store(self, work: Callable[[], T]) -> T:
        """Something that asks the database or files: milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._store, work)

    async def decode(self, work: Callable[[], T]) -> T:
        """Something that decodes a picture: memory, so few at once."""
        return await asyncio.get_running_loop().run_in_executor(self._decode, work)

    async def fetch(self, work: Callable[[], T]) -> T:
        """Something that waits for another machine."""
        return await asyncio.get_running_loop().run_in_executor(self._fetch, work)

    async def models(self, work: Callable[[], T]) -> T:
        """A question to the shared models.

        Raises:
            ApiError: too many wait already.
        """
        if self._asking >= self._most:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-much",
                f"{self._asking} questions wait for the models; ask again in a second",
                headers={"Retry-After": "1"},
            )
        self._asking += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._models, work)
        finally:
            self._asking -= 1


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the API is made over.

    Attributes:
        store: the jobs.
        files: their pictures and assets.
        enter: who may come in.
        fetch: pictures by address.
        check_webhook: raises an ``InputError`` where an address is none that may be told.
        models: the shared models; called in a thread, so it may wait for them.
        health: what is wrong.
        config: how the API behaves.
    """

    store: JobStore
    files: JobFiles
    enter: Enter
    fetch: Fetch
    check_webhook: Callable[[str], object]
    models: Callable[[], Models]
    health: Health
    config: ApiConfig = ApiConfig()
