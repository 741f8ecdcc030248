from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook, WebhookVerificationError

from lift3d_ray.errors import ConfigError, FetchRefused
from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import JobResult, LiftOrder
from lift3d_ray.service.keys import KeyRing
from lift3d_ray.service.store import JobStore
from lift3d_ray.service.tables import OUTBOX
from lift3d_ray.service.webhooks import Mail, Retries, Sender, forget_mail, mail
from lift3d_ray.service.wire import Wire, WireLimits
from tests.service.conftest import Clock
from tests.service.hosts import Behave, FakeNetwork, Host, host, says

HOOK = "http://hooks.example.com/lifts?token=1"


def end_a_job(store: JobStore, hook: str | None = HOOK, *, failed: bool = False) -> str:
    job_id = store.accept(LiftOrder(webhook=hook), picture_digest="0").id
    job = store.claim("worker", 10)
    assert job is not None
    if failed:
        store.fail(job.lease, "no-subject", "nothing there")
    else:
        store.finish(job.lease, JobResult(caption="a cat"))
    return job_id


@contextmanager
def sending(database: Database, behave: Behave, **retries: float) -> Iterator[tuple[Sender, Host, FakeNetwork]]:
    with host(behave) as serving:
        network = FakeNetwork(hosts={"hooks.example.com": serving.port})
        yield (
            Sender(
                database=database,
                generator=np.random.default_rng(0),
                wire=Wire(network=network, limits=WireLimits(total_s=2.0, max_bytes=1000)),
                retries=Retries(**{"jitter": 0.0, **retries}),  # type: ignore[arg-type]
            ),
            serving,
            network,
        )


def heard(request: bytes) -> tuple[dict[str, str], str]:
    head, _, body = request.decode().partition("\r\n\r\n")
    lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in lines}, body


def test_the_end_of_a_job_is_told_once_and_signed(store: JobStore, database: Database) -> None:
    job_id = end_a_job(store)
    with sending(database, says("204 No Content")) as (sender, serving, _):
        assert sender.send_due() == 1
        assert sender.send_due() == 0
    (request,) = serving.requests
    assert request.startswith(b"POST /lifts?token=1 HTTP/1.1\r\n")
    headers, body = heard(request)
    told = Webhook(KeyRing(database).webhook_secret("local")).verify(body, headers)
    assert told["type"] == "lift.succeeded"
    assert (told["data"]["id"], told["data"]["state"], told["data"]["caption"]) == (job_id, "succeeded", "a cat")
    assert headers["webhook-id"].startswith("msg_")
    with pytest.raises(WebhookVerificationError):
        Webhook(KeyRing(database).create("other").webhook_secret).verify(body, headers)
    assert mail(database) == Mail(waiting=0, delivered=1, given_up=0)


def test_a_failure_and_a_cancel_are_told_too(store: JobStore, database: Database) -> None:
    end_a_job(store, failed=True)
    store.cancel(store.accept(LiftOrder(webhook=HOOK), picture_digest="0").id)
    with sending(database, says("200 OK", b"thanks")) as (sender, serving, _):
        assert sender.send_due() == 2
    bodies = [json.loads(heard(request)[1]) for request in serving.requests]
    assert [body["type"] for body in bodies] == ["lift.failed", "lift.canceled"]
    assert bodies[0]["data"]["error"] == {"code": "no-subject", "message": "nothing there"}


def test_nobody_is_told_where_nobody_asked(store: JobStore, database: Database) -> None:
    end_a_job(store, None)
    end_a_job(store, HOOK)
    store.delete(store.accept(LiftOrder(webhook=HOOK), picture_digest="0").id)
    assert mail(database) == Mail(waiting=1, delivered=0, given_up=0)


def test_what_is_not_taken_is_sent_again_under_the_same_id_with_growing_pauses(
    store: JobStore, database: Database, clock: Clock
) -> None:
    end_a_job(store)
    with sending(database, says("500 Oops"), first_s=10, factor=3, attempts=3) as (sender, serving, _):
        for pause in (10, 30):
            assert sender.send_due() == 0
            clock.sleep(pause - 1)
            count = len(serving.requests)
            sender.send_due()
            assert len(serving.requests) == count
            clock.sleep(1.1)
        assert mail(database).waiting == 1
        sender.send_due()
        clock.sleep(10**6)
        sender.send_due()
    assert len(serving.requests) == 3
    assert len({heard(request)[0]["webhook-id"] for request in serving.requests}) == 1
    assert mail(database) == Mail(waiting=0, delivered=0, given_up=1)


def test_a_restarted_sender_goes_on(store: JobStore, database: Database, clock: Clock) -> None:
    end_a_job(store)
    with sending(database, says("503 Busy")) as (sender, _, _):
        sender.send_due()
    clock.sleep(60)
    with sending(database, says("200 OK")) as (sender, serving, _):
        assert sender.send_due() == 1
        assert len(serving.requests) == 1


def test_a_sender_that_dies_leaves_its_message_to_the_next(store: JobStore, database: Database, clock: Clock) -> None:
    end_a_job(store)
    with sending(database, says("200 OK")) as (sender, serving, _):
        assert len(sender._leased(5)) == 1  # and dies
        assert sender.send_due() == 0
        clock.sleep(500)
        assert sender.send_due() == 1
    assert len(serving.requests) == 1


def test_a_late_word_about_a_message_that_another_has_changes_nothing(
    store: JobStore, database: Database, clock: Clock
) -> None:
    end_a_job(store)
    with sending(database, says("500 Oops")) as (late, _, _):
        (message,) = late._leased(5)
        clock.sleep(500)
        with sending(database, says("200 OK")) as (sender, _, _):
            assert sender.send_due() == 1
        late._send(message)
    assert mail(database) == Mail(waiting=0, delivered=1, given_up=0)


def test_a_receiver_says_when_to_come_again_or_never(store: JobStore, database: Database, clock: Clock) -> None:
    end_a_job(store)
    with sending(database, says("429 Slow", Retry_After="100")) as (sender, serving, _):
        sender.send_due()
        clock.sleep(90)
        sender.send_due()
        assert len(serving.requests) == 1
    clock.sleep(20)
    with sending(database, says("410 Gone")) as (sender, _, _):
        sender.send_due()
    assert mail(database).given_up == 1


def test_redirects_are_not_followed(store: JobStore, database: Database) -> None:
    end_a_job(store)
    with sending(database, says("302 Found", Location="http://169.254.169.254/")) as (sender, serving, network):
        assert sender.send_due() == 0
    assert len(network.connected) == len(serving.requests) == 1
    with database.reading() as work:
        assert work.conn.execute(sa.select(OUTBOX.c.last_error)).scalar_one() == "status 302"


def test_a_receiver_that_turns_private_is_given_up(store: JobStore, database: Database) -> None:
    end_a_job(store)
    with sending(database, says("200 OK")) as (sender, serving, network):
        network.addresses["hooks.example.com"] = [["10.0.0.1"]]
        assert sender.send_due() == 0
        assert serving.requests == []
    assert mail(database).given_up == 1


def test_a_receiver_that_is_silent_does_not_hold_the_sender(store: JobStore, database: Database) -> None:
    end_a_job(store)
    with sending(database, lambda connection, _: time.sleep(9)) as (sender, _, _):
        started = time.monotonic()
        assert sender.send_due() == 0
        assert time.monotonic() - started < 5
    assert mail(database).waiting == 1


@pytest.mark.parametrize("hook", ["http://127.0.0.1/", "ftp://example.com/", "http://localhost/", "x", ""])
def test_webhooks_to_nowhere_are_refused_with_the_order(store: JobStore, hook: str) -> None:
    with pytest.raises(FetchRefused):
        store.accept(LiftOrder(webhook=hook), picture_digest="0")
    assert store.usage().queued == 0


def test_pauses_grow_to_a_longest_and_tremble() -> None:
    retries = Retries(first_s=5, factor=5, longest_s=100, jitter=0.25)
    generator = np.random.default_rng(0)
    pauses = [[retries.pause_s(attempt, generator) for _ in range(200)] for attempt in (1, 2, 3, 1000)]
    for drawn, middle in zip(pauses, (5, 25, 100, 100), strict=True):
        assert middle * 0.75 <= min(drawn) < max(drawn) <= middle * 1.25
        assert np.mean(drawn) == pytest.approx(middle, rel=0.05)


def test_mail_that_is_done_with_is_forgotten(store: JobStore, database: Database, clock: Clock) -> None:
    end_a_job(store)
    clock.sleep(100)
    assert forget_mail(database, 50) == 0  # it still waits
    with sending(database, says("200 OK")) as (sender, _, _):
        sender.send_due()
    assert forget_mail(database, 200) == 0
    assert forget_mail(database, 50) == 1


@pytest.mark.parametrize("wrong", [{"first_s": 0}, {"factor": 0.5}, {"attempts": 0}, {"jitter": 2}, {"longest_s": 1}])
def test_retries_that_do_not_grow_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="growing pauses"):
        Retries(**wrong)  # type: ignore[arg-type]
