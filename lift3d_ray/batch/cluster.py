"""Starting and stopping what a run needs: Ray, the Serve application, and nothing that outlives them."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.schema import ApplicationStatus, LoggingConfig

from lift3d_ray.deployments.app import APP_NAME, ReplicaArgs, ServeArgs, build_app
from lift3d_ray.deployments.handles import connect_prior
from lift3d_ray.errors import BundleError, ClusterError

OBJECT_STORE_BYTES = 1 << 30
_QUIET_LOGGERS = ("ray", "ray.data", "ray.serve")
_TEMP_PREFIX = "lift3d-ray-"
_OWNER = "owner.lock"
# A cluster of one node gains nothing from declaring its node dead, and on an overloaded machine it would do so wrongly.
_PATIENCE = {"health_check_failure_threshold": 200}
_LONGEST_TEMP = 40


@contextmanager
def ray_cluster(address: str | None) -> Iterator[bool]:
    """Ray, for the length of a run.

    A cluster that this process is connected to already is used and left alone. With an address, that cluster is joined
    and left. Otherwise one is started on this machine, beside any other, and stopped with all its processes.

    Yields:
        Whether the cluster is this run's own.

    Raises:
        ClusterError: the cluster cannot be reached or started.
    """
    with _quiet_logs():
        if ray.is_initialized():
            yield False
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with nullcontext(None) if address else _temporary_folder() as temporary:
            try:
                _connect(address, temporary)
                yield not address
            finally:
                if not address and ray.is_initialized():
                    serve.shutdown()
                ray.shutdown()


def _connect(address: str | None, temporary: str | None) -> None:
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=temporary,
                _system_config=_PATIENCE,
            )
    except Exception as error:  # a node that does not start in time is a bare Exception in Ray
        where = f"the Ray cluster at {address}" if address else "a Ray cluster on this machine"
        raise ClusterError(f"cannot use {where}: {error}") from error


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder for Ray's sockets and logs; those that killed runs left are taken away.

    Its owner holds a kernel lock in it, which goes with the process however it dies.
    """
    # Ray puts sockets in it, and a socket's path must stay under 107 characters.
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= _LONGEST_TEMP else "/tmp"
    for left in Path(parent).glob(f"{_TEMP_PREFIX}*/{_OWNER}"):
        with suppress(OSError), left.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_TEMP_PREFIX, dir=parent))
    unnamed = folder / "owner"
    with unnamed.open("w") as handle:
        # Locked before it gets the name that others look for.
        fcntl.flock(handle, fcntl.LOCK_EX)
        unnamed.rename(folder / _OWNER)
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Ray without its own lines: they would tear the live display, and some go to stdout, where machines read."""
    from ray._private import worker

    loggers = [logging.getLogger(name) for name in _QUIET_LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    # There is no public switch for lines about dead workers; the run reports those itself.
    enabled, worker._worker_logs_enabled = worker._worker_logs_enabled, False
    try:
        yield
    finally:
        worker._worker_logs_enabled = enabled
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def capacity() -> Mapping[str, float]:
    """Logical resources of the cluster in all."""
    return dict(ray.cluster_resources())


def default_serve_args(bundle: str, resources: Mapping[str, float]) -> ServeArgs:
    """How ``submit`` hosts the models unless told otherwise.

    Without GPUs the replicas ask for no CPUs of their own: they compute while the optimizers wait for them. With one
    GPU the models take two fifths of it; with more, one whole GPU.
    """
    gpus = resources.get("GPU", 0.0)
    if gpus <= 0:
        free = ReplicaArgs(num_cpus=0)
        return ServeArgs(bundle=bundle, prior=free, perception=free)
    prior, perception = (0.25, 0.15) if gpus < 2 else (0.7, 0.3)
    return ServeArgs(
        bundle=bundle,
        device="cuda",
        dtype="float16",
        prior=ReplicaArgs(num_cpus=0, num_gpus=prior),
        perception=ReplicaArgs(num_cpus=0, num_gpus=perception),
    )


def served_bundle() -> str | None:
    """Digest of the bundle that a running application ``models`` serves, or None where there is none."""
    applications = serve.status().applications
    status = applications.get(APP_NAME)
    if status is None or status.status != ApplicationStatus.RUNNING:
        return None
    return connect_prior().about().bundle_digest


@contextmanager
def models_application(args: ServeArgs, name: str) -> Iterator[None]:
    """The Serve application that holds the models, for the length of a run.

    Raises:
        BundleError: the bundle cannot be found.
        ClusterError: the application did not start.
    """
    quiet = LoggingConfig(log_level="ERROR", enable_access_log=False)
    app = build_app(args)
    try:
        serve.start(proxy_location=ProxyLocation.Disabled, logging_config=quiet)
        serve.run(app, name=name, route_prefix=None, logging_config=quiet)
    except RuntimeError as error:
        raise BundleError(f"the models of bundle {args.bundle!r} did not start: {error}") from error
    try:
        yield
    finally:
        serve.delete(name)
