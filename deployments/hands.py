"""Where the service's lifts happen: optimizers that are hired when there is work and let go when there is none."""

from __future__ import annotations

from typing import Any, Protocol

import ray
from ray.exceptions import RayActorError, RayError

from lift3d_ray.deployments.scenes import Glance, SceneEnd, SceneSetup, SceneTask, SceneWorker


class HandLost(Exception):
    """The process that lifted is gone."""


class Hand(Protocol):
    """One optimizer, with one task at a time."""

    def begin(self, task: SceneTask) -> None:
        """Give it a task. Comes back at once."""
        ...

    def ended(self, timeout_s: float) -> SceneEnd | None:
        """How the task ended, or None where it has not within the time.

        Raises:
            HandLost: the process is gone.
        """
        ...

    def glance(self, seen: int) -> Glance | None:
        """How far it is, as far as that is known at this moment; never waits."""
        ...

    def stop(self) -> None:
        """Ask it to end its task at once, without a result."""
        ...

    def dismiss(self) -> None:
        """End its process, whatever it is doing."""
        ...


class Crew(Protocol):
    """Where hands come from."""

    def hire(self) -> Hand:
        """A new hand. It may take a while to arrive; tasks wait for it."""
        ...


class RayHand:
    """A ``SceneWorker`` in a Ray actor of its own, which goes with the process that hired it."""

    def __init__(self, setup: SceneSetup) -> None:
        share = setup.share
        # Three threads: one lifts, the others answer how far it is and hear when to stop.
        hosted: Any = ray.remote(SceneWorker)
        self._actor: Any = hosted.options(
            max_concurrency=3, max_restarts=0, num_cpus=share.cpus, num_gpus=share.gpus
        ).remote(setup)
        self._task: Any = None
        self._asked: Any = None

    def begin(self, task: SceneTask) -> None:
        """See ``Hand``."""
        self._asked = None
        self._task = self._actor.lift.remote(task)

    def ended(self, timeout_s: float) -> SceneEnd | None:
        """See ``Hand``."""
        done, _ = ray.wait([self._task], timeout=timeout_s)
        if not done:
            return None
        try:
            end: SceneEnd = ray.get(self._task)
        except RayActorError as error:
            raise HandLost(str(error)) from error
        return end

    def glance(self, seen: int) -> Glance | None:
        """See ``Hand``."""
        if self._asked is None:
            self._asked = self._actor.glance.remote(seen)
        done, _ = ray.wait([self._asked], timeout=0)
        if not done:
            return None
        asked, self._asked = self._asked, None
        try:
            glance: Glance = ray.get(asked)
        except RayError:
            return None  # the task's own end says more
        return glance

    def stop(self) -> None:
        """See ``Hand``."""
        self._actor.stop.remote()

    def dismiss(self) -> None:
        """See ``Hand``."""
        ray.kill(self._actor)


class RayCrew:
    """Hires Ray actors."""

    def __init__(self, setup: SceneSetup) -> None:
        self._setup = setup

    def hire(self) -> Hand:
        """See ``Crew``."""
        return RayHand(self._setup)
