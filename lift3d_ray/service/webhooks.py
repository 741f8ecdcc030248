"""Delivers the messages of the outbox: signed, at least once, under one id, with growing pauses between attempts.

A message is leased while it is being sent, so that several senders share the work; a sender that dies leaves it to the
next after the lease. Nothing is kept in memory: after a restart things go on where they stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.errors import ConfigError, FetchFailed, FetchRefused
from lift3d_ray.service.addresses import parse_url
from lift3d_ray.service.database import Database, Work
from lift3d_ray.service.signing import signed_headers
from lift3d_ray.service.tables import OUTBOX, OWNERS
from lift3d_ray.service.wire import Wire, WireLimits

_LEASE_S = 120.0
_GONE = 410
_LONGEST_ERROR = 500


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When a message that was not taken is sent again.

    Attributes:
        first_s: pause after the first attempt.
        factor: every further pause is so many times as long.
        longest_s: longest pause.
        attempts: attempts in all; then the message is given up.
        jitter: part of a pause that is random, so that messages of one moment do not all come back at one moment.
    """

    first_s: float = 5.0
    factor: float = 5.0
    longest_s: float = 6 * 3600.0
    attempts: int = 10
    jitter: float = 0.25

    def __post_init__(self) -> None:
        sound = self.first_s > 0 and self.factor >= 1 and self.longest_s >= self.first_s and self.attempts >= 1
        if not (sound and 0 <= self.jitter <= 1):
            raise ConfigError(f"retries need growing pauses, an attempt at least and a jitter in [0, 1], got {self}")

    def pause_s(self, attempt: int, generator: np.random.Generator) -> float:
        """Seconds after so many attempts, the jitter drawn."""
        pause = min(self.longest_s, self.first_s * self.factor ** min(attempt - 1, 50))
        return float(pause * (1 - self.jitter + 2 * self.jitter * generator.random()))


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Sends what is due.

    Attributes:
        database: where the outbox is.
        generator: source of the jitter.
        wire: exchanges with public hosts; never redirected.
        retries: when to try again.
        clock: what the signature's time is read from; it must agree with the receivers' clocks.
    """

    database: Database
    generator: np.random.Generator
    wire: Wire = field(default_factory=lambda: Wire(limits=WireLimits(total_s=20.0, max_bytes=64 * 1024)))
    retries: Retries = field(default_factory=Retries)
    clock: Callable[[], float] = time.time

    def send_due(self, *, limit: int = 20) -> int:
        """Try to deliver the messages that are due, one after another. Returns how many were taken.

        Call it again and again, from a thread of its own: a receiver may take its time.
        """
        return sum(self._send(message) for message in self._leased(limit))

    def _leased(self, limit: int) -> list[Row[Any]]:
        """Messages that are due, and for a while nobody else's."""
        due = sa.select(OUTBOX.c.id).where(OUTBOX.c.next_at.is_not(None))
        with self.database.writing() as work:
            due = due.where(OUTBOX.c.next_at <= work.now).order_by(OUTBOX.c.next_at).limit(limit)
            ids = list(work.conn.execute(due.with_for_update(skip_locked=True)).scalars())
            taken = sa.update(OUTBOX).where(OUTBOX.c.id.in_(ids)).values(next_at=work.now + _LEASE_S * (1 + len(ids)))
            work.conn.execute(taken.values(tries=OUTBOX.c.tries + 1))
            query = sa.select(OUTBOX, OWNERS.c.webhook_secret).join(OWNERS, OWNERS.c.id == OUTBOX.c.owner)
            return list(work.conn.execute(query.where(OUTBOX.c.id.in_(ids)).order_by(OUTBOX.c.created_at)))

    def _send(self, message: Row[Any]) -> bool:
        """One attempt, and what follows from it. Returns whether the message was taken."""
        headers = signed_headers(message.webhook_secret, message.id, message.body, self.clock())
        refusal, final, wanted_s = "", False, 0.0
        try:
            answer = self.wire.exchange(
                parse_url(message.url),
                method="POST",
                body=message.body.encode(),
                headers={**headers, "Content-Type": "application/json"},
            )
            if not 200 <= answer.status < 300:
                refusal, final = f"status {answer.status}", answer.status == _GONE
                wanted_s = float(answer.retry_after) if answer.retry_after.isdecimal() else 0.0
        except FetchFailed as error:
            refusal = str(error)
        except FetchRefused as error:
            refusal, final = str(error), True
        with self.database.writing() as work:
            if refusal:
                self._postpone(work, message, refusal, final=final, wanted_s=wanted_s)
            else:
                self._settle(work, message, delivered_at=work.now, last_error="", next_at=None)
        return not refusal

    def _postpone(self, work: Work, message: Row[Any], refusal: str, *, final: bool, wanted_s: float) -> None:
        given_up = final or message.tries >= self.retries.attempts
        pause = max(self.retries.pause_s(message.tries, self.generator), min(wanted_s, self.retries.longest_s))
        next_at = None if given_up else work.now + pause
        self._settle(work, message, delivered_at=None, last_error=refusal[:_LONGEST_ERROR], next_at=next_at)

    def _settle(
        self, work: Work, message: Row[Any], *, delivered_at: float | None, last_error: str, next_at: float | None
    ) -> None:
        # Where a slow sender's lease ran out and another has the message now, what is told here is the other's.
        mine = sa.and_(OUTBOX.c.id == message.id, OUTBOX.c.tries == message.tries)
        values = {"delivered_at": delivered_at, "last_error": last_error, "next_at": next_at}
        work.conn.execute(sa.update(OUTBOX).where(mine).values(values))


@dataclass(frozen=True, kw_only=True)
class Mail:
    """How many messages are where.

    Attributes:
        waiting: to be sent, or sent again.
        delivered: taken by their receivers.
        given_up: never taken.
    """

    waiting: int
    delivered: int
    given_up: int


def mail(database: Database) -> Mail:
    """How the outbox stands."""
    counted = sa.select(
        sa.func.count(OUTBOX.c.next_at),
        sa.func.count(OUTBOX.c.delivered_at),
        sa.func.count(),
    )
    with database.reading() as work:
        waiting, delivered, total = work.conn.execute(counted).one()
    return Mail(waiting=waiting, delivered=delivered, given_up=total - waiting - delivered)


def forget_mail(database: Database, older_than_s: float) -> int:
    """Take messages out of the outbox that were delivered or given up longer ago. Returns how many."""
    with database.writing() as work:
        old = sa.and_(OUTBOX.c.next_at.is_(None), OUTBOX.c.created_at < work.now - older_than_s)
        return int(work.conn.execute(sa.delete(OUTBOX).where(old)).rowcount)
