"""Any order of calls, compared to a model that fits on a page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import JobResult, JobState, Lease, LiftOrder, Standing
from lift3d_ray.service.store import JobStore, QueueSettings
from lift3d_ray.service.tables import EVENTS, JOBS, OWNERS, REQUESTS
from tests.service.conftest import Clock
from tests.service.test_store import add_owner

OWNERS_HERE = ("a", "b")
LEASE_S = 10.0
MOST_DEATHS = 2


@dataclass
class Model:
    """What a job should be."""

    owner: str
    state: JobState = JobState.QUEUED
    attempt: int = 0
    deaths: int = 0
    cancel_asked: bool = False
    deleted: bool = False
    lease_until: float = 0.0
    word: str = ""

    def die(self) -> None:
        self.deaths += 1
        given_up = JobState.FAILED if self.deaths >= MOST_DEATHS else JobState.QUEUED
        self.state = JobState.CANCELED if self.cancel_asked else given_up

    def come_back(self) -> None:
        self.state = JobState.CANCELED if self.cancel_asked else JobState.QUEUED

    def cancel(self) -> None:
        if self.state is JobState.QUEUED:
            self.state = JobState.CANCELED
        elif self.state is JobState.RUNNING:
            self.cancel_asked = True


class Calls(RuleBasedStateMachine):
    """Calls of API and workers, some of them with leases that are long void."""

    database: Database
    clock: Clock

    @initialize()
    def begin(self) -> None:
        self.store = JobStore(self.database, QueueSettings(max_deaths=MOST_DEATHS))
        self.model: dict[str, Model] = {}
        self.leases: list[Lease] = []
        with self.database.writing() as work:
            for table in (EVENTS, JOBS, REQUESTS):
                work.conn.execute(sa.delete(table))
            work.conn.execute(sa.delete(OWNERS).where(OWNERS.c.id != "local"))
        for owner in OWNERS_HERE:
            add_owner(self.store, owner, max_running=2)
        for owner in "aaab":
            self.accept(owner)
        self.claim()

    @rule(owner=st.sampled_from(OWNERS_HERE))
    def accept(self, owner: str) -> None:
        job = self.store.accept(LiftOrder(), picture_digest="0", owner=owner)
        self.model[job.id] = Model(owner)

    @rule()
    def claim(self) -> None:
        self.lapse()
        job = self.store.claim("worker", LEASE_S)
        ready = [owner for owner in OWNERS_HERE if self.of(owner, JobState.QUEUED) and self.running(owner) < 2]
        if job is None:
            assert ready == []
            return
        assert job.owner in ready
        assert self.running(job.owner) == min(self.running(owner) for owner in ready)
        assert job.id == self.of(job.owner, JobState.QUEUED)[0]  # the model keeps the order of arrival
        model = self.model[job.id]
        model.state, model.attempt, model.lease_until = JobState.RUNNING, model.attempt + 1, self.clock.now + LEASE_S
        assert job.attempt == model.attempt
        self.leases.append(job.lease)

    def of(self, owner: str, state: JobState) -> list[str]:
        return [key for key, model in self.model.items() if (model.owner, model.state) == (owner, state)]

    def running(self, owner: str) -> int:
        return len(self.of(owner, JobState.RUNNING))

    def lapse(self) -> None:
        for model in self.model.values():
            if model.state is JobState.RUNNING and model.lease_until < self.clock.now:
                model.die()

    def ended_by(
        self, lease: Lease, call: Callable[[Lease], bool], end: Callable[[Model], None], *, word: str = ""
    ) -> None:
        model = self.model.get(lease.job_id)
        if model is None or model.attempt != lease.attempt or model.state is not JobState.RUNNING:
            # A word that was heard is heard again: the worker may not know.
            said = model is not None and model.attempt == lease.attempt and word != "" and model.word == word
            assert call(lease) is said
            return
        assert call(lease)
        end(model)
        model.word = word

    @rule(how=st.sampled_from(["finish", "fail", "lose", "give back", "obey"]), which=st.integers(0, 3))
    def work(self, how: str, which: int) -> None:
        """A worker's call, mostly with one of the latest leases."""
        lease = self.leases[-1 - which % len(self.leases)]
        if how == "finish":
            succeed = set_state(JobState.SUCCEEDED)
            self.ended_by(lease, lambda held: self.store.finish(held, JobResult()), succeed, word=how)
        elif how == "fail":
            give_up = set_state(JobState.FAILED)
            self.ended_by(lease, lambda held: self.store.fail(held, "code", "why"), give_up, word=how)
        elif how == "lose":
            self.ended_by(lease, self.store.lose, Model.die)
        elif how == "give back":
            self.ended_by(lease, self.store.give_back, Model.come_back)
        else:
            self.renew_and_obey(lease)

    def renew_and_obey(self, lease: Lease) -> None:
        model = self.model.get(lease.job_id)
        told = self.store.renew(lease, LEASE_S)
        if model is None or model.state is not JobState.RUNNING or model.attempt != lease.attempt:
            assert told is Standing.LOST
            return
        model.lease_until = self.clock.now + LEASE_S
        assert told is (Standing.CANCEL if model.cancel_asked else Standing.GO_ON)
        assert self.store.stop(lease) == model.cancel_asked
        if model.cancel_asked:
            model.state = JobState.CANCELED

    @precondition(lambda self: any(not model.deleted for model in self.model.values()))
    @rule(delete=st.booleans(), which=st.integers(0, 5))
    def ask(self, delete: bool, which: int) -> None:
        """An owner's call, first of all about what runs."""
        shown = [(model.state != JobState.RUNNING, job) for job, model in self.model.items() if not model.deleted]
        job = [job for _, job in sorted(shown, key=lambda pair: pair[0])][which % len(shown)]
        (self.store.delete if delete else self.store.cancel)(job, self.model[job].owner)
        self.model[job].cancel()
        self.model[job].deleted = delete

    @rule()
    def sweep(self) -> None:
        doomed = {job.id for job in self.store.doomed()}
        assert doomed == {key for key, model in self.model.items() if model.deleted and model.state.ended}
        for job in doomed:
            self.store.forget(job)
            del self.model[job]

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.lapse()
        self.store.recover()

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        if not hasattr(self, "model"):
            return
        for owner in OWNERS_HERE:
            seen = {job.id: (job.state, job.attempt) for job in self.store.page(owner, limit=200).jobs}
            assert seen == {
                key: (model.state, model.attempt)
                for key, model in self.model.items()
                if model.owner == owner and not model.deleted
            }


def set_state(state: JobState) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        model.state = state

    return change


def test_any_order_of_calls(url: str) -> None:
    examples = settings(
        max_examples=20,
        stateful_step_count=40,
        phases=[Phase.generate],  # shrinking takes minutes where every call is a transaction
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    clock = Clock()
    with closing(Database(url, clock=clock)) as database:
        here = type("Here", (Calls,), {"database": database, "clock": clock})
        run_state_machine_as_test(here, settings=examples)
