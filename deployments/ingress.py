"""The HTTP API as a Serve deployment: any number of replicas, none of which knows anything that must not be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

import lift3d_ray.service
from lift3d_ray.deployments.api.app import build_api
from lift3d_ray.deployments.api.parts import ApiConfig, Parts
from lift3d_ray.deployments.dispatcher_service import DISPATCHER
from lift3d_ray.deployments.handles import connect
from lift3d_ray.deployments.settings import ServiceSettings
from lift3d_ray.errors import Lift3DError
from lift3d_ray.models.roles import Models
from lift3d_ray.service.addresses import parse_url

PAGE_FOLDER = Path(lift3d_ray.service.__file__).parent / "web"
"""The page at ``/``."""
HEALTH_S = 10.0
"""Longest wait for a part to say that it is well."""


@serve.ingress()
class Ingress:
    """The API over the job store, the shared models and the dispatcher.

    Args:
        settings: of the service.
        models: names of the deployments that hold the models.
        companions: the application's other deployments. Serve deploys what is bound to the root.
    """

    def __init__(self, settings: ServiceSettings, models: Sequence[str], companions: Sequence[object]) -> None:
        self._settings, self._names, self._companions = settings, tuple(models), tuple(companions)
        self._app_name = serve.get_replica_context().app_name
        self._store, self._files = settings.open_store(), settings.open_files()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """See Serve."""
        settings = self._settings
        return build_api(
            Parts(
                store=self._store,
                files=self._files,
                enter=settings.open_gate(self._store),
                fetch=settings.open_fetch(),
                check_webhook=parse_url,
                models=lambda: self._models,
                health=self._health,
                config=ApiConfig(
                    recipe=settings.recipe,
                    quality=settings.quality,
                    local_only=settings.local_only,
                    settings=settings.settings,
                    body_bytes=settings.body_bytes,
                    web=PAGE_FOLDER,
                ),
            )
        )

    @cached_property
    def _models(self) -> Models:
        return connect(self._app_name)

    def _health(self) -> Mapping[str, str]:
        """What is wrong with each part; in a thread."""
        asked = {name: self._ask(name) for name in (DISPATCHER, *self._names)}
        wrong = {"database": self._database()}
        for name, response in asked.items():
            try:
                response.result(timeout_s=HEALTH_S)
                wrong[name] = ""
            except TimeoutError:
                wrong[name] = f"no answer within {HEALTH_S:g} s"
            except (RayError, RayServeException, RuntimeError) as error:
                wrong[name] = str(error).strip().splitlines()[-1][:200]
        return wrong

    def _ask(self, name: str) -> Any:
        return serve.get_deployment_handle(name, self._app_name).check_health.remote()

    def _database(self) -> str:
        try:
            self._store.closing  # noqa: B018 - a question to the database
        except Lift3DError as error:
            return str(error)
        return ""

    async def check_health(self) -> None:
        """Raise if the job store cannot be reached.

        Raises:
            RuntimeError: with what is wrong.
        """
        wrong = await asyncio.to_thread(self._database)
        if wrong:
            raise RuntimeError(wrong)
