"""Taking jobs in: all of a request or none of it, once for an idempotency key, and within what its owner may have."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lift3d_ray.errors import Clash, Closing, ConfigError, NotAllowed, TooMuch
from lift3d_ray.service.addresses import parse_url
from lift3d_ray.service.database import Work
from lift3d_ray.service.jobs import JobState, LiftOrder
from lift3d_ray.service.rows import note
from lift3d_ray.service.tables import GATE, JOBS, OWNERS, REQUESTS
from lift3d_ray.service.waiting import usage

RETRY_S = 15.0
"""Seconds after which a full queue is worth another look."""

_ID = re.compile(r"[0-9a-f]{32}")
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One picture to lift.

    Attributes:
        order: what is asked for.
        picture_digest: hex SHA-256 of the picture's bytes, which are stored already.
        picture_bytes: how many they are.
    """

    order: LiftOrder
    picture_digest: str
    picture_bytes: int = 0


def new_id() -> str:
    """An id that cannot be guessed: 128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID.fullmatch(text) is not None


def admit(
    work: Work, requests: Sequence[Request], *, owner: str, idempotency_key: str | None, batch: str, most_queued: int
) -> str:
    """Take jobs in; see ``JobStore.accept`` and ``JobStore.accept_batch``.

    Args:
        work: the transaction.
        requests: what is asked for, at least one.
        owner: for whom.
        idempotency_key: the client's name for this request, or None.
        batch: id of the batch; "" for a job that comes alone.
        most_queued: jobs that may wait in all.

    Returns:
        What the request is answered with: id of the batch, or of the job. It is an earlier one's where that was the
        same request.
    """
    for request in requests:
        _check(request.order)
    # Whoever holds this row is the only one to take jobs in: limits hold, and tickets are in order.
    gate = work.conn.execute(sa.select(GATE).with_for_update()).one()
    digest = _digest(requests, batch)
    earlier = _earlier(work, owner, idempotency_key, digest)
    if earlier is not None:
        return earlier
    if gate.closing:
        raise Closing("the service is shutting down and takes no new jobs; send the request again in a minute")
    _within_limits(work, requests, owner, most_queued)
    ids = [new_id() for _ in requests]
    for number, (job_id, request) in enumerate(zip(ids, requests, strict=True), gate.tickets + 1):
        _insert(work, job_id, request, owner=owner, batch=batch, ticket=number)
    work.conn.execute(sa.update(GATE).values(tickets=gate.tickets + len(requests)))
    answer = batch or ids[0]
    if idempotency_key is not None:
        named = {"owner": owner, "idempotency_key": idempotency_key, "digest": digest, "answer": answer}
        work.conn.execute(REQUESTS.insert().values(named))
    return answer


def _check(order: LiftOrder) -> None:
    """Refuse what could only fail later: an unknown recipe or setting, a webhook to where nothing is sent."""
    order.chosen_recipe()
    if order.webhook is not None:
        parse_url(order.webhook)


def _digest(requests: Sequence[Request], batch: str) -> str:
    parts = [request.order.digest(request.picture_digest) for request in requests]
    return hashlib.sha256("\n".join(["batch" if batch else "job", *parts]).encode()).hexdigest()


def _earlier(work: Work, owner: str, idempotency_key: str | None, digest: str) -> str | None:
    """What the same request was answered with before."""
    if idempotency_key is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(idempotency_key) is None:
        raise ConfigError(f"an idempotency key has 1 to 255 plain ASCII letters, got {idempotency_key[:300]!r}")
    query = sa.select(REQUESTS).where(REQUESTS.c.owner == owner, REQUESTS.c.idempotency_key == idempotency_key)
    row = work.conn.execute(query).one_or_none()
    if row is not None and row.digest != digest:
        raise Clash(
            f"the idempotency key {idempotency_key!r} was used for another request; use a new key for a new request"
        )
    return None if row is None else str(row.answer)


def _within_limits(work: Work, requests: Sequence[Request], owner: str, most_queued: int) -> None:
    limits = work.conn.execute(sa.select(OWNERS).where(OWNERS.c.id == owner)).one_or_none()
    if limits is None or limits.revoked_at is not None:
        raise NotAllowed("this API key is unknown or revoked; ask for another")
    own = usage(work, owner)
    everybody = work.conn.execute(sa.select(sa.func.count()).where(JOBS.c.state == JobState.QUEUED)).scalar_one()
    coming, size = len(requests), sum(request.picture_bytes for request in requests)
    for most, queued, whose in ((limits.max_queued, own.queued, "of this key "), (most_queued, everybody, "")):
        if coming > most:
            raise ConfigError(f"a request of {coming} jobs is more than may ever wait ({most}); split it")
        if queued + coming > most:
            raise TooMuch(
                f"{queued} jobs {whose}wait already and {coming} more would be over {most}; wait for some to end",
                retry_after_s=RETRY_S,
            )
    if own.stored_bytes + size > limits.max_stored_bytes:
        raise TooMuch(
            f"this key stores {own.stored_bytes:,} bytes and may store {limits.max_stored_bytes:,}; delete some jobs",
            retry_after_s=RETRY_S,
        )


def _insert(work: Work, job_id: str, request: Request, *, owner: str, batch: str, ticket: int) -> None:
    order = request.order
    values = {
        "id": job_id,
        "ticket": ticket,
        "owner": owner,
        "batch": batch,
        "request": order.to_json(),
        "recipe": order.recipe,
        "quality": order.quality,
        "best_of": order.best_of,
        "webhook": order.webhook,
        "picture_digest": request.picture_digest,
        "picture_bytes": request.picture_bytes,
        "state": JobState.QUEUED,
        "created_at": work.now,
    }
    work.conn.execute(JOBS.insert().values(values))
    note(work, job_id, 1, "state", {"state": JobState.QUEUED})
