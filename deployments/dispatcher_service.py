"""The dispatcher as a Serve deployment: Serve keeps one alive."""

from __future__ import annotations

import asyncio
import uuid

import numpy as np
from ray import serve

from lift3d_ray.batch.lifting_route import LIFTING
from lift3d_ray.batch.route import Route
from lift3d_ray.deployments.chores import Chore, Chores
from lift3d_ray.deployments.dispatch import Dispatcher
from lift3d_ray.deployments.hands import RayCrew
from lift3d_ray.deployments.scenes import SceneSetup
from lift3d_ray.deployments.settings import ServiceSettings
from lift3d_ray.service.retention import Retention, sweep
from lift3d_ray.service.webhooks import Sender

DISPATCHER = "Dispatcher"
"""Name of the deployment."""
MAIL_EVERY_S = 1.0
"""Pause between two looks for messages to webhooks."""
SWEEP_EVERY_S = 60.0
"""Pause between two looks for deleted and old jobs."""


class DispatcherService:
    """Runs jobs from the moment it is there.

    Args:
        settings: of the service.
        route: what to do with a picture; the real lift unless told otherwise.
    """

    def __init__(self, settings: ServiceSettings, route: Route = LIFTING) -> None:
        setup = SceneSetup(
            route=route,
            share=settings.share,
            out=settings.out,
            bundle=settings.bundle,
            bundle_digest=settings.bundle_digest,
            app_name=serve.get_replica_context().app_name,
        )
        self._store, files = settings.open_store(), settings.open_files()
        self._store.close_gate(False)
        self._dispatcher = Dispatcher(
            self._store,
            files,
            RayCrew(setup),
            settings.dispatch,
            name=f"dispatcher-{uuid.uuid4().hex[:8]}",
        )
        sender = Sender(database=self._store.database, generator=np.random.default_rng())
        retention = Retention(jobs_days=settings.keep_days)
        self._chores = Chores(
            [
                Chore(name="mail", every_s=MAIL_EVERY_S, work=sender.send_due),
                Chore(name="sweep", every_s=SWEEP_EVERY_S, work=lambda: sweep(self._store, files, retention)),
            ]
        )
        self._draining = False
        self._dispatcher.start()
        self._chores.start()

    async def drain(self, patience_s: float) -> None:
        """Take no more jobs, let those that run end within some time, and put the rest back."""
        self._draining = True
        await asyncio.to_thread(self._store.close_gate)
        await asyncio.to_thread(self._dispatcher.close, patience_s)

    async def check_health(self) -> None:
        """Raise if jobs are not taken any more.

        Raises:
            RuntimeError: with what is wrong.
        """
        # One that ends in order is well: Serve must not put another in its place.
        if not (self._draining or self._dispatcher.alive):
            raise RuntimeError("the dispatcher has stopped, or does not reach the job store")

    def __del__(self) -> None:
        self._chores.close()
        self._dispatcher.close(0.0)
