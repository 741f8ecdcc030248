"""The application, made over its parts: the same under Ray Serve and in a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import JSONResponse, Response

import lift3d_ray
from lift3d_ray.deployments.api import errors
from lift3d_ray.deployments.api.again import again_routes
from lift3d_ray.deployments.api.batches import batch_routes
from lift3d_ray.deployments.api.documents import HealthDocument
from lift3d_ray.deployments.api.door import Door, open_door
from lift3d_ray.deployments.api.events import Streams
from lift3d_ray.deployments.api.guard import Guard, Limits
from lift3d_ray.deployments.api.lifts import lift_routes
from lift3d_ray.deployments.api.metrics import MEDIA_TYPE, Metrics
from lift3d_ray.deployments.api.openapi import FAULTS
from lift3d_ray.deployments.api.pages import page_routes
from lift3d_ray.deployments.api.parts import Parts, Threads
from lift3d_ray.deployments.api.perception import perception_routes
from lift3d_ray.deployments.api.workbench import page_policy, workbench_leaves

TITLE = "lift3d-ray"
DESCRIPTION = (
    "Single pictures to 3D assets. POST a picture to /v1/lifts, follow it at its Location, take its files. Errors are "
    'all {"error": {"code", "message"}}. Where the service has API keys, send one as "Authorization: Bearer KEY".'
)
HEALTH_KEPT_S = 2.0
"""Time for which an answer about health holds: asking costs the models something."""


def build_api(parts: Parts) -> FastAPI:
    """The application."""
    config = parts.config
    threads, metrics = Threads(config.model_calls), Metrics()
    streams = Streams(parts.store, threads, config)
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=lift3d_ray.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    limits = Limits(body_bytes=config.body_bytes, body_s=config.body_s, local_only=config.local_only)
    app.add_middleware(Guard, limits=limits, seen=metrics.seen)
    door = open_door(parts, threads)
    app.include_router(lift_routes(parts, threads, streams, door))
    app.include_router(again_routes(parts, threads, door))
    app.include_router(batch_routes(parts, threads, door))
    app.include_router(perception_routes(parts, threads, door))
    app.include_router(_service_routes(parts, threads, streams, metrics, door))
    app.include_router(page_routes(app, config.web, workbench_leaves(config), page_policy()))
    return app


def _service_routes(parts: Parts, threads: Threads, streams: Streams, metrics: Metrics, door: Door) -> APIRouter:
    router = APIRouter(tags=["service"])
    health = _Health(parts, threads)

    @router.get(
        "/healthz", response_model=HealthDocument, responses={503: {"model": HealthDocument, "description": "not well"}}
    )
    async def healthz() -> Response:
        """Whether the service can do its work: the database, the dispatcher, and each of the models is asked."""
        wrong = await health.ask()
        document = HealthDocument(
            status="unwell" if any(wrong.values()) else "ok",
            parts={name: words or "ok" for name, words in wrong.items()},
        )
        status = HTTPStatus.SERVICE_UNAVAILABLE if any(wrong.values()) else HTTPStatus.OK
        return JSONResponse(document.model_dump(), status_code=status)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={**FAULTS, 200: {"description": "Prometheus's text format", "content": {"text/plain": {}}}},
    )
    async def metric_text(owner: str = Depends(door)) -> Response:
        """Figures for Prometheus."""
        usage = await threads.store(lambda: parts.store.usage())
        return Response(metrics.text(usage, streams.open), media_type=MEDIA_TYPE)

    return router


class _Health:
    """Asks how the parts are, once for all who ask at about the same time."""

    def __init__(self, parts: Parts, threads: Threads) -> None:
        self._parts, self._threads = parts, threads
        self._lock = asyncio.Lock()
        self._known: tuple[float, Mapping[str, str]] = (-HEALTH_KEPT_S, {})

    async def ask(self) -> Mapping[str, str]:
        """What is wrong with each part."""
        async with self._lock:
            asked_at, wrong = self._known
            if time.monotonic() - asked_at < HEALTH_KEPT_S:
                return wrong
            wrong = await self._threads.fetch(self._parts.health)
            self._known = (time.monotonic(), wrong)
            return wrong
