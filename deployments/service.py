"""The whole service as one Serve application: the HTTP API, the dispatcher, and the shared models.

``build_service`` is the import path of a Serve configuration (``lift3d_ray.deployments.service:build_service``), with
``ServiceArgs`` as its ``args:``; ``serve run`` takes the same as ``key=value``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from lift3d_ray.batch import cluster
from lift3d_ray.batch.resources import Share, check_fit, share_out
from lift3d_ray.deployments.app import PERCEPTION, PRIOR, ServeArgs, bind_app
from lift3d_ray.deployments.dispatch import DispatchConfig
from lift3d_ray.deployments.dispatcher_service import DISPATCHER, DispatcherService
from lift3d_ray.deployments.engines import load_models_from
from lift3d_ray.deployments.ingress import Ingress
from lift3d_ray.deployments.places import database_of
from lift3d_ray.deployments.settings import ServiceSettings
from lift3d_ray.recipes import Quality, by_name
from lift3d_ray.store.files import open_folder

SERVICE_APP = "lift3d"
"""Name of the application, unless a configuration says otherwise."""
INGRESS = "Api"


class ServiceArgs(BaseModel):
    """Arguments of ``build_service``.

    Attributes:
        out: folder for pictures and assets, path or URI.
        database: ``postgresql://...``, or path of a SQLite file; one in ``out`` where nothing is said.
        bundle: name or folder of the model bundle.
        recipe: of lifts that name none.
        quality: of lifts that name none.
        access: ``keys`` asks everybody for an API key, ``loopback`` answers this machine alone and asks for none.
        optimizers: lifts at once; what the machine carries where nothing is said.
        replicas: of the API.
        max_queued: lifts that may wait.
        keep_days: days for which ended lifts are kept.
        lift_s: seconds that a lift may take.
        idle_s: seconds after which an optimizer without work is let go.
        settings: whether orders may exchange numbers of a recipe; only where ``access`` is ``loopback``, if not said.
        body_mib: size of a request.
        fetch_prefixes: object storage that pictures may be read from, such as ``s3://pictures/``.
        models: how the models are hosted; what the machine carries where nothing is said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: str = "lift3d-service"
    database: str = ""
    bundle: str = "toybox"
    recipe: str = "make-it-3d"
    quality: Quality = Quality.STANDARD
    access: Literal["keys", "loopback"] = "keys"
    optimizers: int | None = Field(default=None, ge=1)
    replicas: int = Field(default=1, ge=1)
    max_queued: int = Field(default=1000, ge=1)
    keep_days: float = Field(default=30.0, gt=0)
    lift_s: float = Field(default=3600.0, gt=0)
    idle_s: float = Field(default=60.0, gt=0)
    settings: bool | None = None
    body_mib: float = Field(default=32.0, gt=0, le=1024)
    fetch_prefixes: list[str] = Field(default_factory=list)
    models: ServeArgs | None = None


def service_settings(args: ServiceArgs, *, bundle_digest: str, share: Share) -> ServiceSettings:
    """What every process of the service is told.

    Raises:
        ConfigError: no such recipe, or a folder that cannot be made.
    """
    by_name(args.recipe, str(args.quality))
    folder = open_folder(args.out)
    folder.create()
    return ServiceSettings(
        out=folder.absolute,
        database=database_of(args.out, args.database),
        bundle=args.bundle,
        bundle_digest=bundle_digest,
        recipe=args.recipe,
        quality=str(args.quality),
        local_only=args.access == "loopback",
        settings=args.access == "loopback" if args.settings is None else args.settings,
        body_bytes=int(args.body_mib * (1 << 20)),
        max_queued=args.max_queued,
        keep_days=args.keep_days,
        fetch_prefixes=tuple(args.fetch_prefixes),
        share=share,
        dispatch=DispatchConfig(lanes=share.workers, scene_s=args.lift_s, idle_s=args.idle_s),
    )


def build_service(args: ServiceArgs | Mapping[str, Any]) -> Application:
    """The application.

    Args:
        args: how it is set up; Serve hands over plain values.

    Raises:
        BundleError: the bundle cannot be found.
        ConfigError: an argument makes no sense.
        ClusterError: models and one optimizer together ask for more than the cluster has.
    """
    args = ServiceArgs.model_validate(args)
    there = cluster.capacity()
    hosting = args.models or cluster.default_serve_args(args.bundle, there)
    if hosting.bundle != args.bundle:
        hosting = hosting.model_copy(update={"bundle": args.bundle})
    demand = hosting.demand()
    share = share_out(there, demand, args.optimizers)
    check_fit(there, demand, share)
    loaders, digest = load_models_from(
        hosting.bundle,
        device=hosting.device,
        dtype=hosting.dtype,
        threads=hosting.threads,
        tuning=hosting.tuning(),
    )
    models = bind_app(hosting, loaders, digest)
    settings = service_settings(args, bundle_digest=digest, share=share)
    light: dict[str, Any] = {"num_cpus": 0}
    dispatcher = serve.deployment(
        name=DISPATCHER,
        num_replicas=1,
        max_ongoing_requests=16,
        ray_actor_options=light,
        graceful_shutdown_timeout_s=15,
        health_check_timeout_s=60,
    )(DispatcherService)
    ingress = serve.deployment(
        name=INGRESS,
        num_replicas=args.replicas,
        max_ongoing_requests=1000,
        ray_actor_options=light,
        graceful_shutdown_timeout_s=10,
        health_check_timeout_s=60,
    )(Ingress)
    parts = (PRIOR, PERCEPTION) if hosting.co_locate else tuple(hosting.hardware())
    application: Application = ingress.bind(settings, parts, [dispatcher.bind(settings), models])
    return application
