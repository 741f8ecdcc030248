"""The Serve application ``models``: which roles share a replica, on what hardware, and how queries are batched.

``build_app`` is the import path of a Serve configuration (``lift3d_ray.deployments.app:build_app``), with ``ServeArgs``
as its ``args:``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray import serve
from ray.serve import Application

from lift3d_ray.deployments.engines import load_models_from
from lift3d_ray.deployments.services import (
    About,
    CaptionerService,
    ClipService,
    DepthService,
    Loaders,
    NoisePredictorService,
    PerceptionService,
    SegmenterService,
)

if TYPE_CHECKING:
    from lift3d_ray.models.tuning import Tuning

APP_NAME = "models"
PRIOR = "NoisePredictor"
PERCEPTION = "Perception"
_SERVICES = {"Segmenter": SegmenterService, "Captioner": CaptionerService, "Depth": DepthService, "Clip": ClipService}
_FIELD_OF = {"Segmenter": "segmenter", "Captioner": "captioner", "Depth": "depth", "Clip": "clip"}

Dtype = Literal["float32", "float16", "bfloat16"]


class ReplicaArgs(BaseModel):
    """Hardware of one deployment.

    Attributes:
        replicas: how many.
        num_cpus: logical CPUs of each.
        num_gpus: GPUs of each, or a share of one.
        memory_bytes: memory to reserve for each; 0 reserves none.
        resources: custom resources of each.
        label_selector: node labels it must run on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int = Field(default=1, ge=1)
    num_cpus: float = Field(default=1.0, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    memory_bytes: int = Field(default=0, ge=0)
    resources: dict[str, float] = Field(default_factory=dict)
    label_selector: dict[str, str] = Field(default_factory=dict)

    def actor_options(self) -> dict[str, Any]:
        """As Serve's ``ray_actor_options``."""
        options: dict[str, Any] = {"num_cpus": self.num_cpus}
        if self.num_gpus:
            options["num_gpus"] = self.num_gpus
        if self.memory_bytes:
            options["memory"] = self.memory_bytes
        if self.resources:
            options["resources"] = dict(self.resources)
        if self.label_selector:
            options["label_selector"] = dict(self.label_selector)
        return options


class ServeArgs(BaseModel):
    """Arguments of ``build_app``.

    Attributes:
        bundle: name or folder of the model bundle; ``analytic`` for models in closed form, without weights.
        device: torch device of the models, ``cpu`` or ``cuda``.
        dtype: precision of the weights.
        threads: CPU threads of each replica.
        compile: the prior with ``torch.compile``, before its replica takes queries.
        channels_last: the prior laid out for tensor cores; for half precision on CUDA.
        slice_attention: the prior's attention in slices; where ``models plan`` says that it saves.
        co_locate: the four perception roles in one replica; otherwise each its own deployment.
        prior: hardware of the noise predictor.
        perception: hardware of the co-located perception, or of each role where ``roles`` says nothing else.
        roles: hardware by role (``Segmenter``, ``Captioner``, ``Depth``, ``Clip``) where not co-located.
        max_batch_size: noise queries in one batch at most.
        max_batch_latents: latents in one forward pass at most.
        batch_wait_timeout_s: longest wait for other queries when a batch could still grow.
        max_ongoing_requests: queries a replica of the prior takes in at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str = "toybox"
    device: str = "cpu"
    dtype: Dtype = "float32"
    threads: int = Field(default=1, ge=1)
    compile: bool = False
    channels_last: bool = False
    slice_attention: bool = False
    co_locate: bool = True
    prior: ReplicaArgs = ReplicaArgs()
    perception: ReplicaArgs = ReplicaArgs()
    roles: dict[Literal["Segmenter", "Captioner", "Depth", "Clip"], ReplicaArgs] = Field(default_factory=dict)
    max_batch_size: int = Field(default=8, ge=1)
    max_batch_latents: int = Field(default=64, ge=1)
    batch_wait_timeout_s: float = Field(default=0.003, ge=0, le=1)
    max_ongoing_requests: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _batches_can_fill(self) -> Self:
        # One batch is in the model while the next gathers; a replica that admits fewer queries never fills a batch.
        needed = 2 * self.max_batch_size
        if self.max_ongoing_requests < needed:
            raise ValueError(
                f"max_ongoing_requests is {self.max_ongoing_requests}, but batches of {self.max_batch_size} need "
                f"{needed} (one being answered, one gathering); raise it or lower max_batch_size"
            )
        if self.roles and self.co_locate:
            raise ValueError(f"roles {sorted(self.roles)} have hardware of their own, so co_locate must be false")
        return self

    def tuning(self) -> Tuning:
        """What is done to the prior when it is loaded."""
        from lift3d_ray.models.tuning import Tuning

        return Tuning(
            compile=self.compile, channels_last=self.channels_last, slice_attention=self.slice_attention
        )

    def hardware(self) -> dict[str, ReplicaArgs]:
        """Hardware by deployment."""
        if self.co_locate:
            return {PRIOR: self.prior, PERCEPTION: self.perception}
        return {PRIOR: self.prior, **{name: self.roles.get(name, self.perception) for name in _SERVICES}}  # type: ignore[call-overload]

    def demand(self) -> dict[str, float]:
        """Logical CPUs and GPUs that all replicas ask for."""
        hardware = self.hardware().values()
        return {
            "CPU": sum(item.replicas * item.num_cpus for item in hardware),
            "GPU": sum(item.replicas * item.num_gpus for item in hardware),
        }


def build_app(args: ServeArgs | Mapping[str, Any]) -> Application:
    """The application ``models``.

    Args:
        args: how it is set up; Serve hands over plain values.

    Raises:
        BundleError: the bundle cannot be found.
    """
    args = ServeArgs.model_validate(args)
    loaders, digest = load_models_from(
        args.bundle, device=args.device, dtype=args.dtype, threads=args.threads, tuning=args.tuning()
    )
    return bind_app(args, loaders, digest)


def bind_app(args: ServeArgs, loaders: Loaders, bundle_digest: str) -> Application:
    """The application over any models: ``build_app`` with the models injected."""
    hardware = args.hardware()
    if args.co_locate:
        companions = [_deployment(PerceptionService, PERCEPTION, hardware).bind(loaders)]
        roles = dict.fromkeys(_FIELD_OF.values(), PERCEPTION)
    else:
        companions = [
            _deployment(service, name, hardware).bind(getattr(loaders, _FIELD_OF[name]))
            for name, service in _SERVICES.items()
        ]
        roles = {field: name for name, field in _FIELD_OF.items()}
    prior = _deployment(NoisePredictorService, PRIOR, hardware, max_ongoing_requests=args.max_ongoing_requests)
    return prior.bind(
        loaders.prior,
        About(bundle_digest=bundle_digest, roles={**roles, "prior": PRIOR}),
        max_batch_size=args.max_batch_size,
        max_batch_latents=args.max_batch_latents,
        batch_wait_timeout_s=args.batch_wait_timeout_s,
        companions=companions,
    )


def _deployment(
    service: type, name: str, hardware: Mapping[str, ReplicaArgs], *, max_ongoing_requests: int = 8
) -> serve.Deployment:
    deploy = serve.deployment(
        name=name,
        num_replicas=hardware[name].replicas,
        ray_actor_options=hardware[name].actor_options(),
        max_ongoing_requests=max_ongoing_requests,
        graceful_shutdown_timeout_s=5,
        # A probe waits its turn behind a batch; a busy machine is not a broken model.
        health_check_timeout_s=120,
    )
    deployment: serve.Deployment = deploy(service)
    return deployment
