"""What a bundle needs of GPUs before anything starts: memory by role, and which actors fit where.

Weights are counted from the class, built without them; activations by following the largest pass of a role on the
``meta`` device (``passes``). On the embedded bundle that is what torch allocates on the CPU, up to what kernels take
for themselves, for which a fifth is added. Nothing is downloaded or computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lift3d_ray.errors import ClusterError, ConfigError
from lift3d_ray.models.blueprints import WITHOUT_WEIGHTS, empty_model
from lift3d_ray.models.bundle import load_bundle
from lift3d_ray.models.catalog import bundle_spec, bundle_specs
from lift3d_ray.models.files import takes_depth
from lift3d_ray.models.reference import exchanged, with_choices
from lift3d_ray.recipes import Recipe

if TYPE_CHECKING:
    import torch

PROCESS_BYTES = 1 << 29
"""What CUDA itself and torch's kernels take of a GPU for every process, about."""
SLACK = 1.2
"""Allocated over held: the workspaces of kernels and what the allocator cannot use."""
USABLE = 0.95
"""Part of a GPU's nominal memory that can be used."""
SAMPLE_BYTES = 100
"""What a sample of a ray holds until its gradient is known, where every ray meets matter all along: 60 to 83."""
BATCH_LATENTS = 64
"""Latents that the served prior takes in one pass at most, each branch of the guidance apart."""
FIELD_COPIES = 4
"""A field's values, their gradients, and Adam's two moments."""

PRIOR = ("unet", "text_encoder", "view_unet", "controlnet")
SLICEABLE = ("unet", "view_unet", "controlnet")
"""Of the prior: what ``Tuning.slice_attention`` slices."""
PERCEPTION = ("segmenter", "captioner", "depth", "clip")
CLOUD = ("point_cloud", "point_upsampler", "point_clip")


@dataclass(frozen=True, kw_only=True)
class PlannedRoles:
    """The roles of a bundle that may not be there yet.

    Attributes:
        name: of the bundle.
        image_size: side of the prior's pictures, pixels.
        models: by role, the model's name and the folder of its configuration.
    """

    name: str
    image_size: int
    models: Mapping[str, tuple[str, Path]]

    @property
    def has_view_prior(self) -> bool:
        """As of ``Bundle``."""
        return "view_unet" in self.models

    @property
    def takes_depth(self) -> bool:
        """As of ``Bundle``."""
        return takes_depth(self.models["unet"][1])

    @property
    def has_depth_prior(self) -> bool:
        """As of ``Bundle``."""
        return "controlnet" in self.models or self.takes_depth


@dataclass(frozen=True, kw_only=True)
class RoleMemory:
    """What a role holds.

    Attributes:
        role: which.
        model: what fills it.
        weights_bytes: its parameters and buffers.
        pass_bytes: beside them in its largest pass.
    """

    role: str
    model: str
    weights_bytes: int
    pass_bytes: int


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A process on a GPU.

    Attributes:
        name: for people.
        roles: what it holds; one pass at a time.
        state_bytes: beside the roles: the field of a scene.
    """

    name: str
    roles: tuple[RoleMemory, ...]
    state_bytes: int = 0

    @property
    def bytes(self) -> int:
        """All it takes."""
        held = sum(role.weights_bytes for role in self.roles)
        most = max((role.pass_bytes for role in self.roles), default=0)
        return PROCESS_BYTES + held + round(SLACK * (most + self.state_bytes))


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What lies on one GPU.

    Attributes:
        gpu_bytes: its usable memory.
        actors: on it.
    """

    gpu_bytes: int
    actors: tuple[Actor, ...]

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return self.gpu_bytes - sum(actor.bytes for actor in self.actors)


def planned_roles(name: str, choices: Mapping[str, str]) -> PlannedRoles:
    """The roles of a bundle, pulled or not.

    Args:
        name: as of ``load_bundle``.
        choices: published model by role.

    Raises:
        BundleError: no such bundle or model, or they do not fit.
    """
    if name in bundle_specs():
        spec = with_choices(bundle_spec(name), choices)
        parts = {role: spec.part(role) for role in spec.roles}
        models = {role: (entry.name, entry.config_folder(role)) for role, (entry, _) in parts.items()}
        return PlannedRoles(name=spec.name, image_size=spec.image_size, models=models)
    bundle = load_bundle(name)
    here = {role: (bundle.name, folder) for role, folder in bundle.roles}
    models, prior = exchanged(here, choices, lambda entry, part: (entry.name, entry.config_folder(part.role)))
    image_size = bundle.image_size if prior is None else int(prior.facts["image_size"])
    return PlannedRoles(name=bundle.name, image_size=image_size, models=models)


def plan_actors(planned: PlannedRoles, recipe: Recipe, dtype: torch.dtype) -> tuple[list[Actor], Actor]:
    """The actors of the shared models, and an optimizer's, of which there may be many.

    Args:
        planned: the roles.
        recipe: its batches, and what a scene keeps to itself; as the bundle's prior can answer it.
        dtype: precision of the shared models; a scene's own are in single precision.
    """
    import torch

    shared = [
        Actor(name=name, roles=_measured(roles, planned, recipe, dtype))
        for name, roles in (("prior", PRIOR), ("perception", PERCEPTION))
    ]
    own = ["vae"]
    if "view_unet" in planned.models and "image_encoder" in planned.models:
        own.append("image_encoder")
    if recipe.optimize.cloud_start:
        own += CLOUD
    roles = _measured(own, planned, recipe, torch.float32)
    if recipe.losses.ask_clip:
        roles += _measured(["clip"], planned, recipe, torch.float32)
    return shared, Actor(name="optimizer", roles=roles, state_bytes=field_bytes(recipe))


def _measured(
    roles: Iterable[str], planned: PlannedRoles, recipe: Recipe, dtype: torch.dtype
) -> tuple[RoleMemory, ...]:
    return tuple(
        role_memory(role, planned, recipe, dtype)
        for role in roles
        if role in planned.models and role not in WITHOUT_WEIGHTS
    )


def role_memory(
    role: str, planned: PlannedRoles, recipe: Recipe, dtype: torch.dtype, *, sliced: bool = False
) -> RoleMemory:
    """What one role holds, in a precision; of ``SLICEABLE``, also with its attention in slices."""
    from lift3d_ray.models.memory import weight_bytes
    from lift3d_ray.models.passes import Asked, pass_bytes

    name, folder = planned.models[role]
    model = empty_model(role, folder)
    if role == "segmenter":
        # Its prompts and masks stay in single precision (``SamSegmenter``).
        getattr(model, "image_encoder", model).to(dtype)
    else:
        model = model.to(dtype)
    if sliced:
        cast(Any, model).set_attention_slice("max")
    asked = Asked(recipe=recipe, image_size=planned.image_size)
    return RoleMemory(
        role=role,
        model=name,
        weights_bytes=weight_bytes(model),
        pass_bytes=pass_bytes(role, model, asked, dtype),
    )


def left_out(recipe: Recipe) -> list[str]:
    """What a recipe does besides that is not in the sums, a sentence each."""
    said = []
    if recipe.inversion.steps:
        said.append("not counted: learning a word, which keeps the gradients of a pass of the prior")
    if recipe.refine.steps:
        said.append("not counted: stage two, whose points and pictures an optimizer holds after its field")
    return said


def field_bytes(recipe: Recipe) -> int:
    """What a scene's field holds at its finest: its values, and the samples of a step's rays, all of them solid."""
    optimize = recipe.optimize
    resolution = max(optimize.resolutions)
    rays = optimize.views * optimize.view_px**2 + optimize.reference_rays
    channels = 5 if optimize.latent_field else 4
    samples = rays * round(optimize.samples * resolution)
    return resolution**3 * channels * 4 * FIELD_COPIES + samples * SAMPLE_BYTES


def most_scenes(recipe: Recipe) -> int:
    """How many lifts of a recipe can share a pass of the served prior."""
    return max(1, BATCH_LATENTS // recipe.optimize.views)


def place(
    shared: Sequence[Actor], optimizer: Actor, gpus_bytes: Sequence[int], *, scenes: int = 1
) -> list[Placement]:
    """Put the shared models where there is most room, the largest first, and fill what is left with optimizers.

    The prior gets room for a pass that all optimizers share. Perception that fits nowhere together is taken apart, a
    role an actor.

    Args:
        shared: their actors, the prior's sized for one scene.
        optimizer: one of them.
        gpus_bytes: usable memory of every GPU.
        scenes: how many can share a pass at most.

    Raises:
        ClusterError: not even one optimizer fits beside the models, with the sums.
    """
    best: list[Placement] | None = None
    for count in range(1, scenes + 1):
        placed = _all_placed([_sized(actor, count) for actor in shared], optimizer, gpus_bytes)
        optimizers = 0 if placed is None else sum(_optimizers(placement, optimizer) for placement in placed)
        if placed is None or optimizers < count:
            break
        best = placed if count == scenes else _limited(placed, optimizer, count)
        if optimizers == count:
            break
    if best is None:
        raise ClusterError(_too_small(shared, optimizer, gpus_bytes))
    return best


def sliced_roles(planned: PlannedRoles, recipe: Recipe, dtype: torch.dtype) -> list[RoleMemory]:
    """What the networks of the prior hold with their attention in slices.

    Where attention is fused, as torch has it on GPUs and CPUs, there is no matrix that slices would save, and slices
    hold a part of it: they help only a network whose attention is written out.
    """
    roles = [role for role in SLICEABLE if role in planned.models]
    return [role_memory(role, planned, recipe, dtype, sliced=True) for role in roles]


def roles_to_slice(
    shared: Sequence[Actor], sliced: Sequence[RoleMemory], optimizer: Actor, gpus_bytes: Sequence[int]
) -> list[str]:
    """The roles whose slicing makes a plan fit that ``place`` refused; none where it would be refused all the same.

    Args:
        shared: actors of the shared models, whole.
        sliced: roles of theirs, with their attention in slices.
        optimizer: one of them.
        gpus_bytes: usable memory of every GPU.
    """
    whole = {role.role: role for actor in shared for role in actor.roles}
    less = {role.role: role for role in sliced if role.pass_bytes < whole[role.role].pass_bytes}
    thinner = [replace(actor, roles=tuple(less.get(role.role, role) for role in actor.roles)) for actor in shared]
    return list(less) if _all_placed(thinner, optimizer, gpus_bytes) is not None else []


def _sized(actor: Actor, scenes: int) -> Actor:
    """The prior for so many scenes at once: what a pass holds grows with what is asked."""
    if actor.name != "prior":
        return actor
    return replace(actor, roles=tuple(replace(role, pass_bytes=scenes * role.pass_bytes) for role in actor.roles))


def _optimizers(placement: Placement, optimizer: Actor) -> int:
    return sum(actor is optimizer for actor in placement.actors)


def _limited(placed: Sequence[Placement], optimizer: Actor, most: int) -> list[Placement]:
    """So many optimizers, spread over the GPUs in turn."""
    room = [_optimizers(placement, optimizer) for placement in placed]
    taken = [0] * len(room)
    while sum(taken) < most:
        taken[min((k for k in range(len(room)) if taken[k] < room[k]), key=lambda k: taken[k])] += 1
    return [
        replace(
            placement,
            actors=(*(actor for actor in placement.actors if actor is not optimizer), *(optimizer,) * count),
        )
        for placement, count in zip(placed, taken, strict=True)
    ]


def _all_placed(
    shared: Sequence[Actor], optimizer: Actor, gpus_bytes: Sequence[int]
) -> list[Placement] | None:
    for attempt in (list(shared), _apart(shared)):
        placed = _placed(attempt, gpus_bytes)
        if placed is not None:
            filled = [_filled(placement, optimizer) for placement in placed]
            if any(_optimizers(placement, optimizer) for placement in filled):
                return filled
    return None


def _apart(shared: Sequence[Actor]) -> list[Actor]:
    actors = []
    for actor in shared:
        if actor.name == "perception":
            actors += [Actor(name=role.role, roles=(role,)) for role in actor.roles]
        else:
            actors.append(actor)
    return actors


def _placed(actors: Sequence[Actor], gpus_bytes: Sequence[int]) -> list[Placement] | None:
    """Each actor on the GPU with the most room, or None where one fits nowhere."""
    placements = [Placement(gpu_bytes=size, actors=()) for size in gpus_bytes]
    for actor in sorted(actors, key=lambda actor: -actor.bytes):
        best = max(range(len(placements)), key=lambda k: placements[k].free_bytes)
        if placements[best].free_bytes < actor.bytes:
            return None
        was = placements[best]
        placements[best] = Placement(gpu_bytes=was.gpu_bytes, actors=(*was.actors, actor))
    return placements


def _filled(placement: Placement, optimizer: Actor) -> Placement:
    count = max(0, placement.free_bytes // optimizer.bytes)
    return Placement(gpu_bytes=placement.gpu_bytes, actors=placement.actors + (optimizer,) * count)


def _too_small(shared: Sequence[Actor], optimizer: Actor, gpus_bytes: Sequence[int]) -> str:
    parts = [*shared, optimizer]
    wanted = " + ".join(f"{actor.name} {gib(actor.bytes)}" for actor in parts)
    return (
        f"the models and one optimizer do not fit: {wanted} = {gib(sum(actor.bytes for actor in parts))} GiB wanted, "
        f"{' + '.join(gib(size) for size in gpus_bytes)} = {gib(sum(gpus_bytes))} GiB usable. Take smaller models "
        "(--model), half precision (--dtype float16), or more GPUs"
    )


def gib(size_bytes: int) -> str:
    """A size in GiB."""
    return f"{size_bytes / 2**30:.2f}"


def read_gpus(text: str) -> list[int]:
    """``24,24,16``, the nominal GiB of every GPU, as the bytes that can be used of each.

    Raises:
        ConfigError: something else.
    """
    try:
        sizes = [float(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) <= 0 or max(sizes) > 10_000:
        raise ConfigError(f"--gpus takes the GiB of every GPU, such as 24,24,16, got {text!r}")
    return [int(USABLE * size * 2**30) for size in sizes]


def in_words(shared: Sequence[Actor], optimizer: Actor, placed: Sequence[Placement]) -> list[str]:
    """A plan as lines for people: the actors, the prior's sized for one scene, and what lies where, for all of them."""
    lines = [f"{'role':16s} {'model':26s} {'weights':>9s} {'pass':>9s}  GiB"]
    for actor in (*shared, optimizer):
        lines.append(f"{actor.name}: {gib(actor.bytes)} GiB" + (" each" if actor is optimizer else ""))
        for role in actor.roles:
            lines.append(f"  {role.role:14s} {role.model:26s} {gib(role.weights_bytes):>9s} {gib(role.pass_bytes):>9s}")
        if actor.state_bytes:
            lines.append(f"  {'field':14s} {'':26s} {'':>9s} {gib(actor.state_bytes):>9s}")
    for number, placement in enumerate(placed):
        held = [f"{actor.name} {gib(actor.bytes)}" for actor in placement.actors if actor is not optimizer]
        count = _optimizers(placement, optimizer)
        held += [f"{count} optimizer{'s' * (count > 1)}"] if count else []
        usable, free = gib(placement.gpu_bytes), gib(placement.free_bytes)
        lines.append(f"GPU {number}, {usable} GiB usable: {', '.join(held) or 'nothing'}; {free} free")
    return lines
