"""The dispatcher over a real store, with optimizers that do as the picture's name says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from lift3d_ray.batch.failures import Failure
from lift3d_ray.deployments.dispatch import DispatchConfig, Dispatcher
from lift3d_ray.deployments.hands import Hand, HandLost
from lift3d_ray.deployments.scenes import Glance, SceneEnd, SceneTask
from lift3d_ray.errors import ConfigError
from lift3d_ray.service.database import Database
from lift3d_ray.service.files import PREVIEWS, JobFiles
from lift3d_ray.service.jobs import Job, JobResult, JobState, LiftOrder
from lift3d_ray.service.store import JobStore
from lift3d_ray.service.tables import JOBS
from lift3d_ray.store.files import open_folder
from lift3d_ray.types import Progress

QUICK = DispatchConfig(lanes=2, lease_s=2.0, beat_s=0.02, poll_s=0.02, idle_s=0.3, scene_s=30.0, stop_s=0.3)


@dataclass(eq=False)
class PaperHand:
    """Lifts by its task's name."""

    crew: PaperCrew
    task: SceneTask | None = None
    begun: float = 0.0
    stopped: bool = False
    gone: bool = False

    def begin(self, task: SceneTask) -> None:
        assert not self.gone
        self.task, self.begun, self.stopped = task, time.monotonic(), False
        self.crew.begun.append(task.order.name)

    def ended(self, timeout_s: float) -> SceneEnd | None:
        time.sleep(timeout_s)
        assert self.task is not None
        name = self.task.order.name
        if "dies" in name and ("once" not in name or self.crew.begun.count(name) < 2):
            self.gone = True
            raise HandLost(name)
        if self.stopped and "deaf" not in name:
            return SceneEnd()
        if "slow" in name and time.monotonic() - self.begun < 10:
            return None
        if "fails" in name:
            return SceneEnd(failure=Failure(code="no-subject", message="nothing"))
        folder = f"assets/{self.task.job_id}-{self.task.attempt}-1"
        self.crew.files.root.write(f"{folder}/asset.glb", name.encode())
        return SceneEnd(result=JobResult(folders=(folder,), caption=name, stored_bytes=1))

    def glance(self, seen: int) -> Glance | None:
        step = int((time.monotonic() - self.begun) * 50)
        glance = Glance(progress=Progress(stage="optimize", step=step, steps=500), share=step / 500, sight=1)
        return glance if seen else replace(glance, jpeg=b"jpeg")

    def stop(self) -> None:
        self.stopped = True

    def dismiss(self) -> None:
        self.gone = True


@dataclass
class PaperCrew:
    """Hires without limit, and remembers."""

    files: JobFiles
    hands: list[PaperHand] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def hire(self) -> Hand:
        self.hands.append(PaperHand(self))
        return self.hands[-1]

    @property
    def at_work(self) -> int:
        return sum(not hand.gone for hand in self.hands)


@dataclass
class Yard:
    """A dispatcher and all around it."""

    store: JobStore
    files: JobFiles
    crew: PaperCrew
    open: list[Dispatcher] = field(default_factory=list)

    def start(self, config: DispatchConfig = QUICK) -> Dispatcher:
        dispatcher = Dispatcher(self.store, self.files, self.crew, config, name=f"d{len(self.open)}")
        dispatcher.start()
        self.open.append(dispatcher)
        return dispatcher

    def order(self, name: str) -> str:
        digest = self.files.keep_picture("local", b"picture")
        return self.store.accept(LiftOrder(name=name), picture_digest=digest).id

    def there(self, folder: str) -> list[str]:
        """What lies in a folder."""
        place = self.files.root.local
        assert place is not None
        return sorted(path.name for path in (place / folder).iterdir()) if (place / folder).is_dir() else []

    def until(self, job_id: str, met: Callable[[Job], bool], *, within_s: float = 20) -> Job:
        deadline = time.monotonic() + within_s
        while True:
            job = self.store.get(job_id)
            if met(job):
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.02)


def ended(job: Job) -> bool:
    return job.state.ended


def runs(job: Job) -> bool:
    return job.state is JobState.RUNNING and job.step > 0


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    database = Database(str(tmp_path / "jobs.db"))
    files = JobFiles(root=open_folder(str(tmp_path / "out")))
    yard = Yard(JobStore(database), files, PaperCrew(files))
    yield yard
    for dispatcher in yard.open:
        dispatcher.close(0)
    database.close()


def test_jobs_are_lifted_and_say_how_far_they_are(yard: Yard) -> None:
    jobs = [yard.order(f"number {number}") for number in range(5)]
    yard.start()
    for number, job_id in enumerate(jobs):
        job = yard.until(job_id, ended)
        assert (job.state, job.attempt, job.result.caption) == (JobState.SUCCEEDED, 1, f"number {number}")
    assert sorted(yard.crew.begun) == [f"number {number}" for number in range(5)]
    assert len(yard.crew.hands) <= 2


def test_reports_and_previews_reach_the_store(yard: Yard) -> None:
    job_id = yard.order("slow")
    yard.start()
    first = yard.until(job_id, runs)
    job = yard.until(job_id, lambda job: job.step > first.step)
    assert (job.stage, job.steps) == ("optimize", 500)
    assert yard.there(f"{PREVIEWS}/{job_id}") == ["preview-1.jpg"]
    kinds = [event.kind for event in yard.store.events(job_id)]
    assert kinds.count("preview") == 1
    assert "progress" in kinds
    yard.store.cancel(job_id)
    yard.until(job_id, ended)
    deadline = time.monotonic() + 5
    while yard.there(f"{PREVIEWS}/{job_id}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_failure_is_final_and_does_not_cost_the_hand(yard: Yard) -> None:
    bad, good = yard.order("fails"), yard.order("good")
    yard.start(replace(QUICK, lanes=1))
    assert yard.until(bad, ended).error_code == "no-subject"
    assert yard.until(good, ended).state is JobState.SUCCEEDED
    assert len(yard.crew.hands) == 1


def test_a_job_whose_hand_died_goes_back_and_ends_once(yard: Yard) -> None:
    job_id = yard.order("dies once")
    yard.start()
    job = yard.until(job_id, ended)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    states = [event.data["state"] for event in yard.store.events(job_id) if event.kind == "state"]
    assert states == ["queued", "running", "queued", "running", "succeeded"]


def test_a_hand_that_died_while_it_was_idle_is_no_fault_of_the_next_job(yard: Yard) -> None:
    first = yard.order("good")
    yard.start(replace(QUICK, lanes=1, idle_s=30))
    yard.until(first, ended)
    job_id = yard.order("dies once")
    job = yard.until(job_id, ended)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    with yard.store.database.reading() as work:
        assert work.conn.execute(sa.select(JOBS.c.deaths).where(JOBS.c.id == job_id)).scalar_one() == 0


def test_three_deaths_are_enough(yard: Yard) -> None:
    job_id = yard.order("dies")
    yard.start()
    job = yard.until(job_id, ended)
    assert (job.state, job.error_code, job.attempt) == (JobState.FAILED, "worker-lost", 3)


@pytest.mark.parametrize("name", ["slow", "slow and deaf"])
def test_a_canceled_job_stops_soon_even_where_it_does_not_listen(yard: Yard, name: str) -> None:
    job_id = yard.order(name)
    yard.start(replace(QUICK, lanes=1))
    yard.until(job_id, runs)
    asked = time.monotonic()
    yard.store.cancel(job_id)
    assert yard.until(job_id, ended).state is JobState.CANCELED
    assert time.monotonic() - asked < 2
    after = yard.order("after")
    assert yard.until(after, ended).state is JobState.SUCCEEDED
    assert any(hand.gone for hand in yard.crew.hands) == ("deaf" in name)


def test_a_job_that_takes_too_long_is_ended(yard: Yard) -> None:
    job_id = yard.order("slow")
    yard.start(replace(QUICK, scene_s=0.3))
    assert yard.until(job_id, ended).error_code == "timeout"
    assert yard.crew.hands[0].gone


def test_hands_without_work_are_let_go(yard: Yard) -> None:
    job_id = yard.order("good")
    yard.start()
    yard.until(job_id, ended)
    deadline = time.monotonic() + 5
    while yard.crew.at_work:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert yard.until(yard.order("later"), ended).state is JobState.SUCCEEDED


def test_closing_gives_running_jobs_back_unharmed(yard: Yard) -> None:
    job_id = yard.order("slow")
    dispatcher = yard.start()
    yard.until(job_id, runs)
    dispatcher.close(0.1)
    job = yard.store.get(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert yard.crew.at_work == 0
    assert not dispatcher.alive


def test_closing_waits_for_what_is_nearly_done(yard: Yard) -> None:
    job_id = yard.order("good")
    dispatcher = yard.start(replace(QUICK, beat_s=0.3))
    yard.until(job_id, lambda job: job.state is JobState.RUNNING)
    dispatcher.close(10)
    assert yard.store.get(job_id).state is JobState.SUCCEEDED


def test_what_another_attempt_has_taken_over_is_thrown_away(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher that slept past its lease must not end a job that another one runs."""
    slept, release = threading.Event(), threading.Event()
    told = PaperHand.ended

    def ended_late(hand: PaperHand, timeout_s: float) -> SceneEnd | None:
        if hand is yard.crew.hands[0] and not release.is_set():
            slept.set()
            release.wait(20)
        return told(hand, timeout_s)

    monkeypatch.setattr(PaperHand, "ended", ended_late)
    job_id = yard.order("good")
    yard.start(replace(QUICK, lanes=1))
    assert slept.wait(5)
    yard.start(replace(QUICK, lanes=1))
    job = yard.until(job_id, ended)
    assert (job.attempt, job.result.folders) == (2, (f"assets/{job_id}-2-1",))
    release.set()
    deadline = time.monotonic() + 5
    while yard.there("assets") != [f"{job_id}-2-1"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert yard.store.get(job_id).result.folders == (f"assets/{job_id}-2-1",)


def test_a_picture_that_is_gone_is_a_failure_and_the_lane_goes_on(yard: Yard) -> None:
    lost = yard.store.accept(LiftOrder(name="lost"), picture_digest="0" * 64).id
    yard.start(replace(QUICK, lanes=1))
    assert yard.until(lost, ended).error_code == "unreadable-photo"
    assert yard.until(yard.order("good"), ended).state is JobState.SUCCEEDED


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="lanes must be positive"):
        DispatchConfig(lanes=0)
    with pytest.raises(ConfigError, match="too short"):
        DispatchConfig(lease_s=1.0, beat_s=0.5)
