from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from lift3d_ray.errors import Clash, Closing, ConfigError, NotAllowed, NotHere, TooMuch
from lift3d_ray.service.admission import Request
from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import Job, JobResult, JobState, LiftOrder, Standing
from lift3d_ray.service.leases import WORKER_LOST
from lift3d_ray.service.store import JobStore, QueueSettings
from lift3d_ray.service.tables import OWNERS
from lift3d_ray.subject.select import Selection
from lift3d_ray.types import Progress
from tests.service.conftest import Clock

PICTURE = "a" * 64
LEASE_S = 30.0


def accept(store: JobStore, name: str = "cat", owner: str = "local") -> Job:
    return store.accept(LiftOrder(name=name), picture_digest=PICTURE, picture_bytes=100, owner=owner)


def claim(store: JobStore) -> Job:
    job = store.claim("worker", LEASE_S)
    assert job is not None
    return job


def add_owner(store: JobStore, owner: str, **limits: int) -> None:
    with store.database.writing() as work:
        local = dict(work.conn.execute(sa.select(OWNERS).where(OWNERS.c.id == "local")).one()._mapping)
        work.conn.execute(OWNERS.insert().values({**local, "id": owner, "key_hash": owner, **limits}))


def test_an_accepted_job_is_what_was_asked_for(store: JobStore) -> None:
    order = LiftOrder(
        name="a cät",
        recipe="anything-3d",
        quality="draft",
        settings=("refine.steps=80",),
        seed=7,
        selection=Selection(points_xy_frac=((0.25, 0.5),), labels=(True,), box_xyxy_frac=(0.0, 0.0, 1.0, 0.5)),
        best_of=2,
        prompt="a cat",
        webhook="https://example.com/hook",
    )
    job = store.accept(order, picture_digest=PICTURE, picture_bytes=5)
    assert store.get(job.id) == job
    assert job.order == order
    assert (job.state, job.picture_digest, job.picture_bytes, job.progress) == (JobState.QUEUED, PICTURE, 5, 0.0)
    assert len(job.id) == 32


def test_ids_do_not_repeat(store: JobStore) -> None:
    assert len({accept(store).id for _ in range(20)}) == 20


def test_the_same_request_under_the_same_key_is_the_same_job(store: JobStore) -> None:
    first = store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    claim(store)
    again = store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    assert (again.id, again.state) == (first.id, JobState.RUNNING)
    assert store.usage().running + store.usage().queued == 1


@pytest.mark.parametrize(("seed", "picture"), [(1, PICTURE), (0, "b" * 64)])
def test_another_request_under_the_same_key_is_refused(store: JobStore, seed: int, picture: str) -> None:
    store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    with pytest.raises(Clash, match="use a new key"):
        store.accept(LiftOrder(seed=seed), picture_digest=picture, idempotency_key="k")


def test_idempotency_keys_of_owners_do_not_meet(store: JobStore) -> None:
    add_owner(store, "b")
    one = store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    other = store.accept(LiftOrder(seed=1), picture_digest=PICTURE, idempotency_key="k", owner="b")
    assert one.id != other.id


def test_an_idempotency_key_is_free_again_when_its_job_is_deleted(store: JobStore) -> None:
    first = store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    store.delete(first.id)
    assert store.accept(LiftOrder(seed=1), picture_digest=PICTURE, idempotency_key="k").id != first.id


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00b", "naïve"])
def test_odd_idempotency_keys_are_refused(store: JobStore, key: str) -> None:
    with pytest.raises(ConfigError, match="plain ASCII"):
        store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key=key)


def test_one_owner_never_sees_anothers_job(store: JobStore) -> None:
    add_owner(store, "b")
    job = accept(store)
    for see in (store.get, store.wait, store.events, store.cancel, store.delete):
        with pytest.raises(NotHere):
            see(job.id, "b")
    assert store.page("b").jobs == ()
    assert store.get(job.id).state is JobState.QUEUED


@pytest.mark.parametrize("job_id", ["", "0" * 32, "../../etc/passwd", "a\x00", "' OR 1=1 --", "\ud800", "A" * 32])
def test_odd_ids_are_not_here(store: JobStore, job_id: str) -> None:
    with pytest.raises(NotHere):
        store.get(job_id)
    with pytest.raises(NotHere):
        store.batch_counts(job_id)


def test_pages_come_newest_first_and_meet_without_gap(store: JobStore) -> None:
    jobs = [accept(store, f"{number}") for number in range(5)]
    first = store.page(limit=2)
    store.delete(first.jobs[-1].id)  # a cursor holds when its job is gone
    second = store.page(limit=2, cursor=first.cursor)
    third = store.page(limit=2, cursor=second.cursor)
    seen = [job.id for page in (first, second, third) for job in page.jobs]
    assert seen == [job.id for job in reversed(jobs)]
    assert third.cursor is None


def test_a_page_of_one_state(store: JobStore) -> None:
    first, second = accept(store), accept(store)
    claim(store)
    assert [job.id for job in store.page(state=JobState.RUNNING).jobs] == [first.id]
    assert [job.id for job in store.page(state=JobState.QUEUED).jobs] == [second.id]


@pytest.mark.parametrize("cursor", ["", "x", "é", "MTIz", "bmFuIHg", "====", "a" * 5000])
def test_cursors_of_others_are_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(ConfigError, match="no cursor of ours"):
        store.page(cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_pages_have_a_size(store: JobStore, limit: int) -> None:
    with pytest.raises(ConfigError, match=r"\[1, 200\]"):
        store.page(limit=limit)


def test_a_job_is_claimed_once_and_in_order_of_arrival(store: JobStore) -> None:
    jobs = [accept(store) for _ in range(3)]
    assert [claim(store).id for _ in range(3)] == [job.id for job in jobs]
    assert store.claim("worker", LEASE_S) is None


def test_owners_take_turns(store: JobStore, clock: Clock) -> None:
    for owner, count in (("a", 6), ("b", 2), ("c", 3)):
        add_owner(store, owner)
        for _ in range(count):
            accept(store, owner=owner)
    order = ""
    for _ in range(11):
        job = claim(store)
        order += job.owner
        store.finish(job.lease, JobResult())
    assert order == "abcabcacaaa"


def test_who_has_fewest_running_comes_first(store: JobStore) -> None:
    for owner in ("a", "b"):
        add_owner(store, owner)
    for owner in "aaab":
        accept(store, owner=owner)
    assert [claim(store).owner for _ in range(4)] == ["a", "b", "a", "a"]


def test_a_key_has_no_more_running_than_it_may(store: JobStore) -> None:
    add_owner(store, "a", max_running=1)
    accept(store, owner="a")
    accept(store, owner="a")
    last = accept(store)
    first = claim(store)
    assert claim(store).id == last.id
    assert store.claim("worker", LEASE_S) is None
    store.finish(first.lease, JobResult())
    assert claim(store).owner == "a"


def test_a_whole_life(store: JobStore, clock: Clock) -> None:
    job_id = accept(store).id
    clock.sleep(5)
    job = claim(store)
    assert (job.state, job.attempt, job.started_at is not None) == (JobState.RUNNING, 1, True)
    assert store.report(job.lease, Progress(stage="pose", step=0, steps=2), 0.1) is Standing.GO_ON
    assert store.report(job.lease, Progress(stage="pose", step=1, steps=2), 0.2) is Standing.GO_ON
    assert store.report(job.lease, Progress(stage="pose", step=2, steps=2), 0.3) is Standing.GO_ON
    assert store.announce(job.lease, "preview", {"name": "preview-1.jpg"}) is Standing.GO_ON
    clock.sleep(5)
    assert store.finish(job.lease, JobResult(folders=("assets/x",), caption="a cat", stored_bytes=900))
    ended = store.get(job_id)
    assert (ended.state, ended.progress, ended.stage) == (JobState.SUCCEEDED, 1.0, "pose")
    assert ended.result == JobResult(folders=("assets/x",), caption="a cat", stored_bytes=900)
    assert ended.created_at < (ended.started_at or 0) < (ended.finished_at or 0)
    events = store.events(job_id)
    assert [event.kind for event in events] == ["state", "state", "stage", "progress", "preview", "state"]
    assert events[3].data == {"stage": "pose", "progress": 0.3, "step": 2, "steps": 2}
    assert events[-1].number == ended.version
    assert store.events(job_id, after=events[3].number) == events[4:]
    assert store.events(job_id, limit=2) == events[:2]


def test_every_change_has_an_etag_of_its_own(store: JobStore) -> None:
    job_id = accept(store).id
    tags = [store.get(job_id).etag]
    job = claim(store)
    tags.append(store.get(job_id).etag)
    store.report(job.lease, Progress(stage="pose", step=0, steps=1), 0.1)
    tags.append(store.get(job_id).etag)
    assert store.renew(job.lease, LEASE_S) is Standing.GO_ON
    assert store.get(job_id).etag == tags[-1]
    store.fail(job.lease, "no-subject", "nothing there")
    tags.append(store.get(job_id).etag)
    assert len(set(tags)) == 4


def test_progress_never_falls(store: JobStore) -> None:
    accept(store)
    job = claim(store)
    for overall in (0.5, 0.2, 7.0):
        store.report(job.lease, Progress(stage="pose", step=0, steps=1), overall)
        assert store.get(job.id).progress >= 0.5
    assert store.get(job.id).progress == 1.0


def test_a_failure_says_why(store: JobStore) -> None:
    accept(store)
    job = claim(store)
    assert store.fail(job.lease, "no-subject", "no\x00thing " + "x" * 9000)
    failed = store.get(job.id)
    assert (failed.state, failed.error_code) == (JobState.FAILED, "no-subject")
    assert failed.error_message.startswith("nothing x")
    assert len(failed.error_message) <= 2000


def test_a_dead_workers_job_goes_back_to_its_old_place(store: JobStore, clock: Clock) -> None:
    first, second = accept(store), accept(store)
    dead = claim(store)
    store.report(dead.lease, Progress(stage="pose", step=0, steps=1), 0.5)
    clock.sleep(LEASE_S + 1)
    again = claim(store)
    assert (again.id, again.attempt, again.progress) == (first.id, 2, 0.0)
    assert again.started_at == dead.started_at
    assert store.renew(dead.lease, LEASE_S) is Standing.LOST
    assert store.report(dead.lease, Progress(stage="mesh", step=0, steps=1), 0.9) is Standing.LOST
    assert not store.finish(dead.lease, JobResult(folders=("assets/stale",)))
    assert not store.fail(dead.lease, "x", "y")
    assert store.finish(again.lease, JobResult(folders=("assets/good",)))
    assert store.get(first.id).result.folders == ("assets/good",)
    assert claim(store).id == second.id


def test_a_renewed_lease_holds(store: JobStore, clock: Clock) -> None:
    accept(store)
    job = claim(store)
    for _ in range(5):
        clock.sleep(LEASE_S - 1)
        assert store.renew(job.lease, LEASE_S) is Standing.GO_ON
        assert store.claim("other", LEASE_S) is None
    assert store.finish(job.lease, JobResult())


def test_the_third_death_is_the_last(store: JobStore, clock: Clock) -> None:
    job_id = accept(store).id
    claim(store)
    clock.sleep(LEASE_S + 1)
    store.lose(claim(store).lease)
    claim(store)
    clock.sleep(LEASE_S + 1)
    assert store.recover() == 1
    job = store.get(job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, WORKER_LOST)
    assert "3 workers died" in job.error_message
    assert store.claim("worker", LEASE_S) is None


def test_giving_back_is_no_death(store: JobStore) -> None:
    job_id = accept(store).id
    for number in range(1, 6):
        job = claim(store)
        assert job.attempt == number
        assert store.give_back(job.lease)
        assert not store.give_back(job.lease)
    assert store.get(job_id).state is JobState.QUEUED


def test_a_waiting_job_is_canceled_at_once(store: JobStore) -> None:
    job = accept(store)
    assert store.cancel(job.id).state is JobState.CANCELED
    assert store.cancel(job.id).state is JobState.CANCELED
    assert store.claim("worker", LEASE_S) is None


def test_a_running_jobs_worker_is_told_to_stop(store: JobStore) -> None:
    accept(store)
    job = claim(store)
    assert not store.stop(job.lease)
    asked = store.cancel(job.id)
    assert (asked.state, asked.cancel_asked) == (JobState.RUNNING, True)
    assert store.renew(job.lease, LEASE_S) is Standing.CANCEL
    assert store.report(job.lease, Progress(stage="pose", step=0, steps=1), 0.1) is Standing.CANCEL
    assert store.stop(job.lease)
    assert store.get(job.id).state is JobState.CANCELED


@pytest.mark.parametrize("end", ["lease", "lose", "give back"])
def test_a_canceled_job_does_not_come_back(store: JobStore, clock: Clock, end: str) -> None:
    accept(store)
    job = claim(store)
    store.cancel(job.id)
    if end == "lease":
        clock.sleep(LEASE_S + 1)
        store.recover()
    else:
        (store.lose if end == "lose" else store.give_back)(job.lease)
    assert store.get(job.id).state is JobState.CANCELED


def test_what_is_deleted_is_not_seen_and_forgotten_when_it_has_ended(store: JobStore) -> None:
    accept(store)
    job = claim(store)
    store.delete(job.id)
    with pytest.raises(NotHere):
        store.get(job.id)
    assert store.page().jobs == ()
    assert store.doomed() == []  # it still runs
    assert store.renew(job.lease, LEASE_S) is Standing.CANCEL
    store.stop(job.lease)
    assert [doomed.id for doomed in store.doomed()] == [job.id]
    assert store.needs_picture("local", PICTURE)
    store.forget(job.id)
    assert store.doomed() == []
    assert not store.needs_picture("local", PICTURE)


def test_what_nobody_deleted_is_not_forgotten(store: JobStore) -> None:
    job = accept(store)
    store.forget(job.id)
    assert store.get(job.id) == job


def test_old_jobs_expire_when_they_have_ended(store: JobStore, clock: Clock) -> None:
    old, waiting = accept(store), accept(store)
    store.finish(claim(store).lease, JobResult())
    clock.sleep(100)
    assert store.expire(200) == 0
    assert store.expire(50) == 1
    assert [job.id for job in store.doomed()] == [old.id]
    assert store.get(waiting.id).state is JobState.QUEUED


def test_a_batch_is_taken_whole_or_not_at_all(store: JobStore) -> None:
    add_owner(store, "a", max_queued=3)
    requests = [Request(order=LiftOrder(name=f"{n}"), picture_digest=PICTURE) for n in range(2)]
    batch = store.accept_batch(requests, owner="a", idempotency_key="k")
    assert store.accept_batch(requests, owner="a", idempotency_key="k") == batch
    assert store.batch_counts(batch, "a") == {JobState.QUEUED: 2}
    assert [job.order.name for job in store.page("a", batch=batch).jobs].__len__() == 2
    with pytest.raises(TooMuch):
        store.accept_batch(requests, owner="a")
    assert store.usage("a").queued == 2
    with pytest.raises(NotHere):
        store.batch_counts(batch)
    with pytest.raises(ConfigError, match="at least one"):
        store.accept_batch([])


def test_a_batch_that_is_forgotten_frees_its_idempotency_key(store: JobStore) -> None:
    request = Request(order=LiftOrder(), picture_digest=PICTURE)
    batch = store.accept_batch([request, request], idempotency_key="k")
    for job in store.page(batch=batch).jobs:
        store.delete(job.id)
    for job in store.doomed():
        store.forget(job.id)
    assert store.accept_batch([request], idempotency_key="k") != batch


def test_a_full_queue_says_when_to_come_again(database: Database) -> None:
    store = JobStore(database, QueueSettings(max_queued=2))
    accept(store)
    accept(store)
    with pytest.raises(TooMuch, match="2 jobs wait already") as refused:
        accept(store)
    assert refused.value.retry_after_s > 0
    claim(store)
    accept(store)


def test_a_key_has_its_own_limits(store: JobStore) -> None:
    add_owner(store, "a", max_queued=1)
    add_owner(store, "b", max_stored_bytes=150)
    accept(store, owner="a")
    with pytest.raises(TooMuch, match="of this key"):
        accept(store, owner="a")
    accept(store, owner="b")
    with pytest.raises(TooMuch, match="may store 150"):
        accept(store, owner="b")
    accept(store)


def test_strangers_and_revoked_owners_accept_nothing(store: JobStore) -> None:
    add_owner(store, "a", revoked_at=1)
    for owner in ("a", "nobody"):
        with pytest.raises(NotAllowed):
            accept(store, owner=owner)


def test_a_closed_gate_takes_and_starts_nothing(store: JobStore) -> None:
    known = store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k")
    accept(store)
    running = claim(store)
    store.close_gate()
    assert store.closing
    with pytest.raises(Closing):
        accept(store)
    assert store.accept(LiftOrder(), picture_digest=PICTURE, idempotency_key="k").id == known.id
    assert store.claim("worker", LEASE_S) is None
    assert store.finish(running.lease, JobResult())
    store.close_gate(False)
    assert claim(store).state is JobState.RUNNING


def test_the_place_in_the_queue_is_the_one_it_is_served_at(store: JobStore) -> None:
    for owner in ("a", "b", "c"):
        add_owner(store, owner)
    jobs = [accept(store, owner=owner) for owner in "aaabbca"]
    told = {job.id: store.wait(job.id, job.owner).position for job in jobs}
    served = []
    for _ in jobs:
        job = claim(store)
        served.append(job.id)
        store.finish(job.lease, JobResult())
    assert told == {job_id: place for place, job_id in enumerate(served, 1)}


def test_how_long_it_takes_is_judged_by_what_was_lifted_alike(store: JobStore, clock: Clock) -> None:
    first = accept(store)
    assert store.wait(first.id).seconds_to_end is None
    job = claim(store)
    clock.sleep(60)
    store.finish(job.lease, JobResult())
    running, waiting = accept(store), accept(store)
    other = store.accept(LiftOrder(quality="fine"), picture_digest=PICTURE)
    claim(store)
    clock.sleep(20)
    assert store.wait(running.id).seconds_to_end == pytest.approx(40, abs=1)
    assert store.wait(waiting.id).seconds_to_end == pytest.approx(120, abs=1)
    assert store.wait(other.id).seconds_to_end is None
    assert store.wait(first.id).seconds_to_end is None


def test_usage_is_counted_by_owner(store: JobStore) -> None:
    add_owner(store, "a")
    for owner in ("a", "a", "local"):
        accept(store, owner=owner)
    store.finish(claim(store).lease, JobResult(stored_bytes=50))
    both = [store.usage("a"), store.usage("local")]
    assert Counter(ended=1, queued=1) == Counter(ended=both[0].ended, queued=both[0].queued)
    assert (both[0].stored_bytes, both[1].stored_bytes, store.usage().stored_bytes) == (250, 100, 350)


def test_an_end_that_was_heard_is_heard_again(store: JobStore) -> None:
    # A worker whose connection broke does not know whether its word came through, and must not throw its files away.
    accept(store)
    accept(store)
    one, two = claim(store), claim(store)
    result = JobResult(folders=("assets/x",))
    assert [store.finish(one.lease, result), store.finish(one.lease, result)] == [True, True]
    assert not store.finish(one.lease, JobResult(folders=("assets/y",)))
    assert not store.fail(one.lease, "code", "why")
    assert [store.fail(two.lease, "code", "why"), store.fail(two.lease, "code", "why")] == [True, True]
    assert not store.finish(two.lease, result)
    assert [len(store.events(job.id)) for job in (one, two)] == [3, 3]
