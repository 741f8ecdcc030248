"""The service, started from this process and for as long as it lives: Ray, Serve, the port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus, LoggingConfig

from lift3d_ray.batch import cluster
from lift3d_ray.deployments.dispatcher_service import DISPATCHER
from lift3d_ray.deployments.service import SERVICE_APP, ServiceArgs, build_service
from lift3d_ray.errors import BundleError, ClusterError

_DRAIN_MORE_S = 30.0
_PATIENCE_S = 60.0


@dataclass
class Running:
    """A service that was started here."""

    unwell_since: float | None = None

    def check(self) -> None:
        """Raise if the service has stopped by itself.

        Raises:
            ClusterError: the cluster is gone, or the application failed for good.
        """
        try:
            status = serve.status().applications[SERVICE_APP].status
        except (RayError, RayServeException, KeyError, RuntimeError) as error:
            # The controller may be on its way back.
            self.unwell_since = self.unwell_since or time.monotonic()
            if time.monotonic() - self.unwell_since > _PATIENCE_S:
                raise ClusterError(f"the service is gone: {error}; start it again, its jobs are kept") from error
            return
        self.unwell_since = None
        if status == ApplicationStatus.DEPLOY_FAILED:
            raise ClusterError("the service failed to start a part of itself; look at `serve status`")

    def drain(self, patience_s: float) -> None:
        """Take no more jobs, and let those that run end within some time."""
        with suppress(RayError, RayServeException, TimeoutError):
            handle = serve.get_deployment_handle(DISPATCHER, SERVICE_APP)
            handle.drain.remote(patience_s).result(timeout_s=patience_s + _DRAIN_MORE_S)


@contextmanager
def served(args: ServiceArgs, *, host: str, port: int, address: str | None) -> Iterator[Running]:
    """The service, for the length of the block.

    Raises:
        BundleError: the models did not start.
        ClusterError: the cluster cannot be reached or started, or the service does not fit it.
    """
    quiet = LoggingConfig(log_level="ERROR", enable_access_log=False)
    with cluster.ray_cluster(address):
        app = build_service(args)
        location = ProxyLocation.EveryNode if address else ProxyLocation.HeadOnly
        try:
            serve.start(
                proxy_location=location, http_options=HTTPOptions(host=host, port=port), logging_config=quiet
            )
            serve.run(app, name=SERVICE_APP, route_prefix="/", logging_config=quiet)
        except RuntimeError as error:
            raise BundleError(f"the service did not start: {error}") from error
        try:
            yield Running()
        finally:
            serve.delete(SERVICE_APP)
