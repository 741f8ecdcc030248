"""Who comes in: a dependency of every route that is not for everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from lift3d_ray.deployments.api.intake import bearer
from lift3d_ray.deployments.api.parts import Parts, Threads

Door = Callable[[Request], Awaitable[str]]
"""A request -> the owner on whose behalf it comes."""


def open_door(parts: Parts, threads: Threads) -> Door:
    """The dependency."""

    async def door(request: Request) -> str:
        key = bearer(request)
        return await threads.store(lambda: parts.enter(key))

    return door
