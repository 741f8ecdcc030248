"""Sharing out a machine or a cluster between the shared models and the optimizer actors, before anything starts.

Ray waits for ever for what it does not have. So the sums are done first, and a run that cannot fit is refused with the
sums in the message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lift3d_ray.errors import ClusterError, ConfigError

PERCEIVER_CPUS = 0.1
"""Logical CPUs of the actor that asks the perception models: it mostly waits."""

READER_CPUS = 0.1
"""Logical CPUs of a task that reads pictures: it mostly waits."""

OPTIMIZER_BYTES = 1 << 30
"""Memory that an optimizer actor takes at most, libraries included."""

OPTIMIZERS_PER_PERCEIVER = 8
"""A lift takes minutes, its perception seconds: one perceiver keeps this many optimizers busy."""

_SMALL_MACHINE_CPUS = 4


@dataclass(frozen=True, kw_only=True)
class Share:
    """What the optimizer actors get.

    Attributes:
        workers: actors at most.
        at_once: actors to start with; the others come as nodes do.
        perceivers: actors that ask the perception models for them.
        cpus: logical CPUs of each.
        gpus: GPUs of each, or a share of one; 0 = lift on the CPU.
        threads: CPU threads of each.
    """

    workers: int
    cpus: float
    gpus: float
    threads: int
    at_once: int = 1
    perceivers: int = 1


def share_out(capacity: Mapping[str, float], models: Mapping[str, float], workers: int | None = None) -> Share:
    """Share what the models leave among optimizer actors.

    Without GPUs every actor gets one thread and an equal part of the CPUs: a lift waits for the prior about as long as
    it computes, so on a small machine there may be as many actors as CPUs. With GPUs every actor is pinned to one, or
    to a part of one where there are more actors than GPUs.

    Args:
        capacity: ``CPU``, ``GPU`` and ``memory`` (bytes) of the cluster.
        models: ``CPU`` and ``GPU`` that the Serve replicas ask for.
        workers: optimizer actors wanted; None leaves it to the capacity.

    Raises:
        ConfigError: fewer than one worker wanted.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    cpus = capacity.get("CPU", 0.0) - models.get("CPU", 0.0)
    gpus = capacity.get("GPU", 0.0) - models.get("GPU", 0.0)
    if gpus > 0:
        count = workers or (int(gpus) if gpus >= 1 else 2)
        return _equal_parts(count, min(float(count), cpus), 1.0 if count <= gpus else _whole_or_part(gpus / count))
    total = capacity.get("CPU", 0.0)
    usable = total if total <= _SMALL_MACHINE_CPUS else total - max(1.0, total // 8)
    fitting = int(capacity.get("memory", math.inf) // OPTIMIZER_BYTES) if "memory" in capacity else int(usable)
    return _equal_parts(workers or max(1, min(int(usable), fitting)), cpus, 0.0)


def _equal_parts(workers: int, cpus: float, gpus_each: float) -> Share:
    """Optimizers that share CPUs equally, after what their perceivers need."""
    perceivers = math.ceil(workers / OPTIMIZERS_PER_PERCEIVER)
    part = _whole_or_part(max(0.0, cpus - waiting_cpus(perceivers)) / workers)
    threads = 1 if gpus_each else max(1, int(part))
    return Share(workers=workers, cpus=part, gpus=gpus_each, threads=threads, at_once=workers, perceivers=perceivers)


def waiting_cpus(perceivers: int) -> float:
    """Logical CPUs of the actors and tasks that mostly wait."""
    return perceivers * PERCEIVER_CPUS + READER_CPUS


def check_fit(capacity: Mapping[str, float], models: Mapping[str, float], share: Share) -> None:
    """Refuse a run that could only wait.

    Raises:
        ClusterError: the models and one optimizer actor together ask for more than there is.
    """
    wanted = {
        "CPU": (models.get("CPU", 0.0), waiting_cpus(share.perceivers), max(share.cpus, 0.01)),
        "GPU": (models.get("GPU", 0.0), 0.0, share.gpus),
    }
    short = [
        f"{sum(parts):g} {name} wanted (models {parts[0]:g} + reading and perception {parts[1]:g} + one optimizer "
        f"{parts[2]:g}), {capacity.get(name, 0.0):g} there"
        for name, parts in wanted.items()
        if sum(parts) > capacity.get(name, 0.0) + 1e-6
    ]
    if short:
        raise ClusterError(
            f"the run does not fit the cluster: {'; '.join(short)}. Add nodes, give the models less, or say that the "
            "cluster grows on demand"
        )


def _whole_or_part(amount: float) -> float:
    """Ray takes whole numbers, or parts of one in steps of 0.01."""
    return float(int(amount)) if amount >= 1 else math.floor(amount * 100 + 1e-9) / 100
