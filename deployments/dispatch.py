"""The dispatcher: takes jobs from the store, has them lifted, and tells the store how they are and how they ended.

It keeps nothing that must not be lost. When it dies, its optimizers die with it, its leases run out, and the next one
finds the jobs back in the queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from lift3d_ray.batch.failures import Failure, describe_defect
from lift3d_ray.deployments.hands import Crew, Hand, HandLost
from lift3d_ray.deployments.scenes import Glance, SceneEnd, SceneTask
from lift3d_ray.errors import ConfigError, Lift3DError
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import Job, JobResult, Standing
from lift3d_ray.service.store import JobStore
from lift3d_ray.store.schema import INTERNAL

LOG = logging.getLogger("lift3d_ray.dispatch")

TIMED_OUT = "timeout"
"""Error code of a job that took longer than the service allows."""

_INSIST_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DispatchConfig:
    """How jobs are run.

    Attributes:
        lanes: jobs at once.
        lease_s: a job whose dispatcher is silent for so long goes back to the queue.
        beat_s: time between two looks at a job.
        poll_s: time between two looks into an empty queue.
        idle_s: time after which an optimizer without work is let go.
        scene_s: longest time that a job may take.
        stop_s: time that an optimizer has to end by itself before its process is ended.
    """

    lanes: int = 1
    lease_s: float = 20.0
    beat_s: float = 0.3
    poll_s: float = 0.3
    idle_s: float = 60.0
    scene_s: float = 3600.0
    stop_s: float = 3.0

    def __post_init__(self) -> None:
        for name in ("lanes", "lease_s", "beat_s", "poll_s", "idle_s", "scene_s", "stop_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if self.lease_s < 4 * self.beat_s:
            raise ConfigError(f"a lease of {self.lease_s:g} s is too short for a beat of {self.beat_s:g} s")


class Dispatcher:
    """Runs jobs, each in a lane of its own, until it is closed.

    Args:
        store: where jobs come from.
        files: where their pictures and previews lie.
        crew: where optimizers come from.
        config: how jobs are run.
        name: of this dispatcher among others.
    """

    def __init__(self, store: JobStore, files: JobFiles, crew: Crew, config: DispatchConfig, *, name: str) -> None:
        self._store, self._files, self._crew, self._config, self._name = store, files, crew, config, name
        self._closing = threading.Event()
        self._cut = threading.Event()
        self._idle: list[tuple[float, Hand]] = []
        self._lock = threading.Lock()
        self._lanes = [
            threading.Thread(target=self._work, name=f"lane-{number}", daemon=True) for number in range(config.lanes)
        ]
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._beaten_at = time.monotonic()

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in (*self._lanes, self._keeper):
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether every lane still takes jobs, and the store was reached lately."""
        threads = all(thread.is_alive() for thread in (*self._lanes, self._keeper))
        return threads and time.monotonic() - self._beaten_at < 3 * self._config.lease_s

    def close(self, patience_s: float) -> None:
        """Take no more jobs, give those that run some time to end, put the rest back, and let all optimizers go.

        Args:
            patience_s: that time.
        """
        self._closing.set()
        deadline = time.monotonic() + patience_s
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))
        self._cut.set()
        for lane in self._lanes:
            lane.join(5 * self._config.beat_s + 1.0)
        with self._lock:
            idle, self._idle = self._idle, []
        for _, hand in idle:
            hand.dismiss()

    def _keep(self) -> None:
        """Lets idle optimizers go, and finds jobs whose dispatcher died."""
        while not self._cut.wait(min(1.0, self._config.idle_s, self._config.lease_s / 4)):
            try:
                self._store.recover()
                self._beaten_at = time.monotonic()
            except Exception:
                LOG.exception("the job store could not be asked for lost jobs")
            for hand in self._weary():
                hand.dismiss()

    def _weary(self) -> list[Hand]:
        """Optimizers that were idle for long; no longer kept."""
        before = time.monotonic() - self._config.idle_s
        with self._lock:
            weary = [hand for since, hand in self._idle if since <= before]
            self._idle = [(since, hand) for since, hand in self._idle if since > before]
        return weary

    def _work(self) -> None:
        """A lane: one job after another."""
        while not self._closing.is_set():
            try:
                job = self._store.claim(self._name, self._config.lease_s)
            except Exception:
                LOG.exception("the job store could not be asked for a job")
                job = None
            if job is None:
                self._closing.wait(self._config.poll_s)
                continue
            try:
                _Run(self, job).run()
            except Lift3DError as error:
                self._insist(partial(self._store.fail, job.lease, error.code, str(error)))
            except Exception as error:
                LOG.exception("job %s", job.id)
                self._insist(partial(self._store.fail, job.lease, INTERNAL, describe_defect(error)))

    def _insist(self, tell: Callable[[], T]) -> T | None:
        """Tell the store something that matters, several times if need be."""
        for pause in (*_INSIST_PAUSES_S, None):
            try:
                return tell()
            except Exception:
                LOG.exception("the job store did not take a job's end")
            if pause is not None:
                time.sleep(pause)
        return None

    def _take_hand(self) -> tuple[Hand, bool]:
        """A hand, and whether it is a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()[1], False
        return self._crew.hire(), True

    def _discard(self, result: JobResult) -> None:
        """Take away what a lift left that is nobody's."""
        for folder in result.folders:
            self._files.delete_folder(folder)

    def _rest(self, hand: Hand) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), hand))


class _Run:
    """One job in its lane."""

    def __init__(self, dispatcher: Dispatcher, job: Job) -> None:
        self._boss, self._job, self._lease = dispatcher, job, job.lease
        self._store, self._config = dispatcher._store, dispatcher._config
        self._sight = 0
        self._told: Glance | None = None

    def run(self) -> None:
        """From claim to end."""
        job, boss = self._job, self._boss
        picture = boss._files.picture(job.owner, job.picture_digest)
        hand, fresh = boss._take_hand()
        whole = False
        try:
            hand.begin(
                SceneTask(
                    job_id=job.id,
                    attempt=job.attempt,
                    order=job.order,
                    picture=picture,
                    picture_digest=job.picture_digest,
                )
            )
            whole = self._follow(hand)
        except HandLost as error:
            LOG.warning("job %s lost its optimizer: %s", job.id, error)
            # One that died while it was idle is no fault of the job that it was given then.
            blameless = not fresh and self._told is None
            boss._insist(partial(self._store.give_back if blameless else self._store.lose, self._lease))
        finally:
            if whole:
                boss._rest(hand)
            else:
                hand.dismiss()
            if self._sight:
                boss._files.delete_previews(job.id)

    def _follow(self, hand: Hand) -> bool:
        """Watch a task to its end.

        Returns:
            Whether the hand is fit for another.
        """
        deadline = time.monotonic() + self._config.scene_s
        while True:
            end = hand.ended(self._config.beat_s)
            if end is not None:
                self._settle(end)
                return True
            if time.monotonic() > deadline:
                self._boss._insist(self._give_up)
                return False
            standing = self._beat(hand)
            if standing is Standing.CANCEL:
                return self._stop(hand, lambda: self._store.stop(self._lease))
            if standing is Standing.LOST:
                return self._stop(hand, None)
            if self._boss._cut.is_set():
                return self._stop(hand, lambda: self._store.give_back(self._lease))

    def _give_up(self) -> bool:
        message = f"it took longer than the {self._config.scene_s:g} s that a lift may take here"
        return self._store.fail(self._lease, TIMED_OUT, message)

    def _stop(self, hand: Hand, tell: Callable[[], bool] | None) -> bool:
        """Have the task ended, and say so; whatever it still brings is thrown away.

        Returns:
            As of ``_follow``.
        """
        hand.stop()
        if tell is not None:
            self._boss._insist(tell)
        end = hand.ended(self._config.stop_s)
        if end is not None and end.result is not None:
            self._boss._discard(end.result)
        return end is not None

    def _settle(self, end: SceneEnd) -> None:
        """Write down how the task ended."""
        boss = self._boss
        if end.failure is not None:
            failure: Failure = end.failure
            boss._insist(lambda: self._store.fail(self._lease, failure.code, failure.message))
        elif end.result is None:
            boss._insist(lambda: self._store.stop(self._lease) or self._store.give_back(self._lease))
        else:
            result = end.result
            if not boss._insist(lambda: self._store.finish(self._lease, result)):
                boss._discard(result)

    def _beat(self, hand: Hand) -> Standing:
        """Tell the store that the job is alive, and what is new about it.

        Where the store cannot be reached the job goes on: its lease says whether that was too long.
        """
        try:
            standing = self._tell(hand)
        except Exception:
            LOG.exception("the job store could not be told about job %s", self._job.id)
            return Standing.GO_ON
        self._boss._beaten_at = time.monotonic()
        return standing

    def _tell(self, hand: Hand) -> Standing:
        glance = hand.glance(self._sight)
        standing = Standing.GO_ON
        if glance is not None and glance.jpeg:
            name = self._boss._files.write_preview(self._job.id, glance.sight, glance.jpeg)
            standing = self._store.announce(self._lease, "preview", {"name": name})
            self._sight = glance.sight
        if standing is Standing.GO_ON and glance is not None and _differs(glance, self._told):
            standing = self._store.report(self._lease, glance.progress, glance.share)
            self._told = glance
        # Every beat asks how the job stands: somebody may have canceled it.
        if standing is Standing.GO_ON:
            standing = self._store.renew(self._lease, self._config.lease_s)
        return standing


def _differs(glance: Glance, told: Glance | None) -> bool:
    """Whether somebody who knows one would want to know the other."""
    if told is None:
        return True
    now, then = glance.progress, told.progress
    return (now.stage, now.step, now.steps) != (then.stage, then.step, then.steps)
