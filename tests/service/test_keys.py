from __future__ import annotations

import pytest
import sqlalchemy as sa

from lift3d_ray.errors import ConfigError, NotAllowed, NotHere, TooMuch
from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import LOCAL_OWNER, LiftOrder
from lift3d_ray.service.keys import KeyLimits, KeyRing
from lift3d_ray.service.store import JobStore
from lift3d_ray.service.tables import OWNERS
from tests.service.conftest import Clock


@pytest.fixture
def ring(database: Database) -> KeyRing:
    return KeyRing(database)


def test_a_key_opens_the_door_and_owns_jobs(ring: KeyRing, store: JobStore) -> None:
    new = ring.create("Ann", KeyLimits(max_queued=1))
    assert ring.check(new.text) == new.key
    assert new.key.limits.max_queued == 1
    store.accept(LiftOrder(), picture_digest="0", owner=new.key.id)
    with pytest.raises(TooMuch):
        store.accept(LiftOrder(), picture_digest="0", owner=new.key.id)


def test_no_secret_of_a_key_is_stored(ring: KeyRing, database: Database) -> None:
    new = ring.create("Ann")
    secret = new.text.rsplit("_", 1)[1]
    assert len(secret) == 64
    with database.reading() as work:
        (row,) = work.conn.execute(sa.select(OWNERS).where(OWNERS.c.id == new.key.id))
    assert secret not in str(row)
    assert secret not in repr(ring.keys())


def test_everything_but_the_key_is_refused_in_the_same_words(ring: KeyRing) -> None:
    new, other = ring.create("Ann"), ring.create("Bob")
    swapped = f"lift3d_{new.key.id}_{other.text.rsplit('_', 1)[1]}"
    local = f"lift3d_{'local'.rjust(12, '0')}_{'0' * 64}"
    odd = [None, "", "lift3d_", "local", new.text[:-1], new.text.upper(), f" {new.text}", f"{new.text}\n", "é" * 90]
    words = set()
    for text in (*odd, swapped, local, f"lift3d_{'0' * 12}_{'0' * 64}", f"lift3d_{new.key.id}_{'0' * 64}"):
        with pytest.raises(NotAllowed) as refused:
            ring.check(text)
        words.add(str(refused.value))
    ring.revoke(new.key.id)
    with pytest.raises(NotAllowed) as refused:
        ring.check(new.text)
    assert words == {str(refused.value)}
    assert ring.check(other.text) == other.key


def test_keys_are_listed_without_the_local_owner(ring: KeyRing) -> None:
    one, two = ring.create("Ann"), ring.create("Bob")
    ring.revoke(one.key.id)
    ring.revoke(one.key.id)
    listed = ring.keys()
    assert [key.id for key in listed] == [one.key.id, two.key.id]
    assert [key.revoked_at is None for key in listed] == [False, True]
    for nobody in ("", "0" * 12, LOCAL_OWNER):
        with pytest.raises(NotHere):
            ring.revoke(nobody)


def test_a_revoked_key_accepts_no_jobs(ring: KeyRing, store: JobStore) -> None:
    new = ring.create("Ann")
    ring.revoke(new.key.id)
    with pytest.raises(NotAllowed):
        store.accept(LiftOrder(), picture_digest="0", owner=new.key.id)


def test_the_bucket_holds_a_minute_and_refills_evenly(ring: KeyRing, clock: Clock) -> None:
    new = ring.create("Ann", KeyLimits(requests_per_minute=3))
    for _ in range(3):
        ring.admit_request(new.key.id)
    with pytest.raises(TooMuch) as refused:
        ring.admit_request(new.key.id)
    assert refused.value.retry_after_s == pytest.approx(20, abs=0.1)
    clock.sleep(refused.value.retry_after_s)
    ring.admit_request(new.key.id)
    with pytest.raises(TooMuch):
        ring.admit_request(new.key.id)
    clock.sleep(3600)
    for _ in range(3):
        ring.admit_request(new.key.id)
    with pytest.raises(TooMuch):
        ring.admit_request(new.key.id)


def test_a_clock_that_goes_back_costs_nothing(ring: KeyRing, clock: Clock) -> None:
    new = ring.create("Ann", KeyLimits(requests_per_minute=2))
    ring.admit_request(new.key.id)
    clock.sleep(-3600)
    ring.admit_request(new.key.id)
    with pytest.raises(TooMuch):
        ring.admit_request(new.key.id)


def test_the_local_owner_has_no_rate_and_strangers_have_none_either(ring: KeyRing) -> None:
    for _ in range(5):
        ring.admit_request(LOCAL_OWNER)
    with pytest.raises(NotHere):
        ring.admit_request("0" * 12)


def test_every_owner_signs_with_a_secret_of_its_own(ring: KeyRing) -> None:
    new = ring.create("Ann")
    secrets = {ring.webhook_secret(LOCAL_OWNER), ring.webhook_secret(new.key.id)}
    assert new.webhook_secret in secrets
    assert len(secrets) == 2
    with pytest.raises(NotHere):
        ring.webhook_secret("0" * 12)


@pytest.mark.parametrize("limits", [{"max_queued": 0}, {"max_running": -1}, {"requests_per_minute": 2**31}])
def test_limits_are_positive(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="positive"):
        KeyLimits(**limits)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x00"])
def test_names_are_printable(ring: KeyRing, name: str) -> None:
    with pytest.raises(ConfigError, match="printable"):
        ring.create(name)
