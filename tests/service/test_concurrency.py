"""No job is claimed twice and none is lost, whoever claims at the same time and whoever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lift3d_ray.errors import TooMuch
from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import ENDED, JobResult, JobState, LiftOrder, Standing
from lift3d_ray.service.leases import end_canceled
from lift3d_ray.service.rows import held
from lift3d_ray.service.store import JobStore, QueueSettings
from tests.service.test_store import add_owner

JOBS = 48
WORKERS = 6


@pytest.fixture
def shared(url: str) -> Iterator[Database]:
    """A database with a clock that goes."""
    with closing(Database(url)) as database:
        yield database


def fill(store: JobStore, count: int = JOBS) -> set[str]:
    for owner in ("a", "b", "c"):
        add_owner(store, owner, max_running=2)
    return {store.accept(LiftOrder(), picture_digest="0", owner="abc"[number % 3]).id for number in range(count)}


def test_threads_never_get_the_same_job(shared: Database) -> None:
    store = JobStore(shared)
    wanted = fill(store)
    claimed: list[str] = []
    most = Counter[str]()
    start = threading.Barrier(WORKERS)

    def work(name: str) -> None:
        start.wait()
        while (job := store.claim(name, 60)) is not None or store.usage().queued:
            if job is None:
                continue  # all the owners have as many running as they may
            claimed.append(job.id)
            most[job.owner] = max(most[job.owner], store.usage(job.owner).running)
            store.finish(job.lease, JobResult())

    threads = [threading.Thread(target=work, args=(f"{number}",)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claimed) == Counter(wanted)
    assert max(most.values()) <= 2
    assert store.usage().ended == JOBS


def test_threads_together_take_in_no_more_than_the_queue_holds(shared: Database) -> None:
    store = JobStore(shared, QueueSettings(max_queued=10))
    start = threading.Barrier(WORKERS)
    refused: list[TooMuch] = []

    def work(name: str) -> None:
        start.wait()
        for number in range(4):
            try:
                # Half of the requests are sent twice.
                store.accept(LiftOrder(seed=number), picture_digest="0", idempotency_key=f"{int(name) // 2} {number}")
            except TooMuch as error:
                refused.append(error)

    threads = [threading.Thread(target=work, args=(f"{number}",)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.usage().queued == 10
    assert refused


def run_worker(url: str, name: str, log: str) -> None:
    """A process that lifts whatever it gets, slowly, writing down what it ended."""
    with closing(Database(url)) as database:
        lift_all(JobStore(database), name, log)


def lift_all(store: JobStore, name: str, log: str) -> None:
    while not all(job.state.ended for job in store.page(limit=200).jobs):
        job = store.claim(name, lease_s=1.0)
        if job is None:
            time.sleep(0.05)
            continue
        time.sleep(0.03)
        if store.renew(job.lease, 1.0) is Standing.GO_ON and store.finish(job.lease, JobResult(caption=name)):
            with open(log, "a") as file:
                file.write(f"{job.id}\n")


def test_killed_processes_lose_nothing(shared: Database, url: str, tmp_path: Path) -> None:
    # A job may be in more hands than three here: every second they are all killed.
    store = JobStore(shared, QueueSettings(max_deaths=1000))
    wanted = {store.accept(LiftOrder(), picture_digest="0").id for _ in range(JOBS)}
    log = tmp_path / "ended"
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["tests.service.test_concurrency"])

    def started(name: str) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=run_worker, args=(url, name, str(log)))
        process.start()
        return process

    workers = [started(f"{number}") for number in range(3)]
    kills = 0
    while any(job.state not in ENDED for job in store.page(limit=200).jobs):
        time.sleep(0.3)
        if kills < 6:
            victim = workers.pop(0)
            if victim.pid is not None and victim.is_alive():
                os.kill(victim.pid, signal.SIGKILL)
                kills += 1
            victim.join()
            workers.append(started(f"after {kills}"))
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    jobs = {job.id: job for job in store.page(limit=200).jobs}
    assert set(jobs) == wanted
    assert {job.state for job in jobs.values()} == {JobState.SUCCEEDED}
    ended = Counter(log.read_text().split())
    # A worker may be killed between ending a job and writing that down; nothing is ever ended twice.
    assert set(ended.values()) == {1}
    assert len(wanted - set(ended)) <= kills
    assert kills >= 3
    assert sum(event.data.get("state") == "succeeded" for job in jobs for event in store.events(job)) == JOBS


def test_many_make_the_tables_together(url: str) -> None:
    threads = [threading.Thread(target=lambda: opened.append(Database(url))) for _ in range(WORKERS)]
    opened: list[Database] = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in opened:
        database.close()
    assert len(opened) == WORKERS


def test_a_job_that_is_being_canceled_is_not_started(shared: Database) -> None:
    store = JobStore(shared)
    job_id = store.accept(LiftOrder(), picture_digest="0").id
    claimed: list[object] = []
    worker = threading.Thread(target=lambda: claimed.append(store.claim("worker", 60)))
    with shared.writing() as work:
        row = held(work, job_id)
        assert row is not None
        end_canceled(work, row)
        worker.start()
        worker.join(0.5)  # on PostgreSQL it has passed the job over by now, on SQLite it waits for its turn
    worker.join(30)
    assert claimed == [None]
    assert store.get(job_id).state is JobState.CANCELED
