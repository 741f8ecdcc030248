"""The job store: every accepted job ends once, whatever dies meanwhile.

The API accepts, shows, cancels and deletes jobs; workers claim and end them. All of it lies in one database, so that
any number of either may come and go. A method is one transaction, and may be called from any thread or process; it
blocks for milliseconds, so an event loop calls it in a thread.

How a job goes::

    queued -> running -> succeeded | failed | canceled
      ^         |
      +---------+   its worker died, or gave it back

What the API does for somebody it does as an owner (the id of an API key), and other owners' jobs are not there for it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.errors import ConfigError, NotHere
from lift3d_ray.service import leases, waiting
from lift3d_ray.service.admission import Request, admit, is_id, new_id
from lift3d_ray.service.database import Database, Work
from lift3d_ray.service.jobs import (
    ENDED,
    LOCAL_OWNER,
    Event,
    Job,
    JobResult,
    JobState,
    Lease,
    LiftOrder,
    Page,
    Standing,
    Usage,
    Wait,
)
from lift3d_ray.service.rows import change, held, job_from
from lift3d_ray.service.tables import EVENTS, GATE, JOBS, REQUESTS
from lift3d_ray.types import Progress

MOST_ON_A_PAGE = 200
"""Jobs on one page, and events of one call, at most."""


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """What holds for the queue as a whole.

    Attributes:
        max_queued: jobs that may wait, of all owners together.
        max_deaths: workers that may die over one job before it is given up.
    """

    max_queued: int = 1000
    max_deaths: int = 3

    def __post_init__(self) -> None:
        for name in ("max_queued", "max_deaths"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


DEFAULT_QUEUE = QueueSettings()


class JobStore:
    """Jobs in a database."""

    def __init__(self, database: Database, settings: QueueSettings = DEFAULT_QUEUE) -> None:
        """Use a database.

        Args:
            database: where the jobs are.
            settings: what holds for the queue.
        """
        self.database = database
        self.settings = settings

    # The API's side.

    def accept(
        self,
        order: LiftOrder,
        *,
        picture_digest: str,
        picture_bytes: int = 0,
        owner: str = LOCAL_OWNER,
        idempotency_key: str | None = None,
    ) -> Job:
        """Take a job in.

        Args:
            order: what is asked for.
            picture_digest: hex SHA-256 of the picture's bytes, which are stored already (``PictureFiles``).
            picture_bytes: how many they are.
            owner: for whom.
            idempotency_key: the client's name for this request: the same request under the same name is the same job.

        Returns:
            The job, which from now on ends whatever happens. Where the key was used before, the job as it stands now.

        Raises:
            Clash: the idempotency key was used for another request.
            TooMuch: too many jobs wait, of this owner or of all, or this owner stores too much.
            Closing: the service is shutting down.
            NotAllowed: the owner is unknown or revoked.
            ConfigError: the recipe, its quality or a setting is unknown, or refuses its value.
            FetchRefused: the webhook's address is none that is sent to.
        """
        request = Request(order=order, picture_digest=picture_digest, picture_bytes=picture_bytes)
        with self.database.writing() as work:
            answer = self._admit(work, [request], owner, idempotency_key, batch="")
            return job_from(_visible(work, answer, owner))

    def accept_batch(
        self, requests: Sequence[Request], *, owner: str = LOCAL_OWNER, idempotency_key: str | None = None
    ) -> str:
        """Take many jobs in, all or none of them; arguments and errors as of ``accept``.

        Returns:
            Id of the batch: ``page(batch=)`` and ``batch_counts`` say how it stands.
        """
        if not requests:
            raise ConfigError("a batch has at least one picture, got none")
        with self.database.writing() as work:
            return self._admit(work, requests, owner, idempotency_key, batch=new_id())

    def _admit(
        self, work: Work, requests: Sequence[Request], owner: str, idempotency_key: str | None, batch: str
    ) -> str:
        return admit(
            work,
            requests,
            owner=owner,
            idempotency_key=idempotency_key,
            batch=batch,
            most_queued=self.settings.max_queued,
        )

    def get(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        """A job as it stands.

        Raises:
            NotHere: there is none of this id, or it is somebody else's.
        """
        with self.database.reading() as work:
            return job_from(_visible(work, job_id, owner))

    def page(
        self,
        owner: str = LOCAL_OWNER,
        *,
        cursor: str | None = None,
        limit: int = 50,
        state: JobState | None = None,
        batch: str | None = None,
    ) -> Page:
        """Some of an owner's jobs, newest first.

        Args:
            owner: whose.
            cursor: ``Page.cursor`` of the page before.
            limit: jobs on the page, from 1 to ``MOST_ON_A_PAGE``.
            state: only those in this state.
            batch: only those of this batch.

        Raises:
            ConfigError: the limit is out of range, or the cursor is none of ours.
        """
        query = sa.select(JOBS).where(JOBS.c.owner == owner, JOBS.c.deleted_at.is_(None))
        if state is not None:
            query = query.where(JOBS.c.state == state)
        if batch is not None:
            _batch_id(batch)
            query = query.where(JOBS.c.batch == batch)
        if cursor is not None:
            created_at, last = _from_cursor(cursor)
            older = sa.and_(JOBS.c.created_at == created_at, JOBS.c.id < last)
            query = query.where(sa.or_(JOBS.c.created_at < created_at, older))
        query = query.order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(_checked(limit) + 1)
        with self.database.reading() as work:
            rows = work.conn.execute(query).all()
        jobs = tuple(job_from(row) for row in rows[:limit])
        return Page(jobs=jobs, cursor=_cursor(jobs[-1]) if len(rows) > limit else None)

    def batch_counts(self, batch: str, owner: str = LOCAL_OWNER) -> Mapping[JobState, int]:
        """How many jobs of a batch are in which state; states of none are left out.

        Raises:
            NotHere: there is no such batch, or it is somebody else's.
        """
        _batch_id(batch)
        query = (
            sa.select(JOBS.c.state, sa.func.count())
            .where(JOBS.c.owner == owner, JOBS.c.batch == batch, JOBS.c.deleted_at.is_(None))
            .group_by(JOBS.c.state)
        )
        with self.database.reading() as work:
            counts = {JobState(state): count for state, count in work.conn.execute(query)}
        if not counts:
            raise NotHere(_NO_BATCH.format(batch))
        return counts

    def wait(self, job_id: str, owner: str = LOCAL_OWNER) -> Wait:
        """Place in the queue, and how long the job may still take, judging by what was lately lifted alike.

        Owners take turns, so the place counts one job of every other owner for each of one's own.

        Raises:
            NotHere: as of ``get``.
        """
        with self.database.reading() as work:
            return waiting.wait_for(work, _visible(work, job_id, owner))

    def events(self, job_id: str, owner: str = LOCAL_OWNER, *, after: int = 0, limit: int = 100) -> list[Event]:
        """What happened to a job, oldest first.

        Args:
            job_id: of which job.
            owner: whose it is.
            after: number of the last event that is known already: a ``Last-Event-ID``.
            limit: events at most.

        Raises:
            NotHere: as of ``get``.
        """
        query = sa.select(EVENTS).where(EVENTS.c.job_id == job_id, EVENTS.c.number > after)
        query = query.order_by(EVENTS.c.number).limit(_checked(limit))
        with self.database.reading() as work:
            _visible(work, job_id, owner)
            return [
                Event(number=row.number, kind=row.kind, at=row.at, data=json.loads(row.data))
                for row in work.conn.execute(query)
            ]

    def cancel(self, job_id: str, owner: str = LOCAL_OWNER) -> Job:
        """Ask for a job's end. One that waits ends at once; one that runs, when its worker hears of it.

        A job that has ended stays as it is. One that ends while its worker is being told may still succeed.

        Raises:
            NotHere: as of ``get``.
        """
        with self.database.writing() as work:
            row = _visible(work, job_id, owner, to_change=True)
            return job_from(_cancel(work, row))

    def delete(self, job_id: str, owner: str = LOCAL_OWNER) -> None:
        """Make a job, and what it left, go away: nobody sees it from now on. One that has not ended is canceled.

        Its files are taken away by ``retention.sweep``, when it has ended.

        Raises:
            NotHere: as of ``get``.
        """
        with self.database.writing() as work:
            row = _visible(work, job_id, owner, to_change=True)
            _hide(work, [row.id])
            held_row = held(work, job_id)
            if held_row is not None:
                _cancel(work, held_row)

    def usage(self, owner: str | None = None) -> Usage:
        """What an owner takes up; of all owners together where none is named."""
        with self.database.reading() as work:
            return waiting.usage(work, owner)

    # The workers' side.

    def claim(self, worker: str, lease_s: float) -> Job | None:
        """Start the job whose turn it is. Exactly one of any number of callers gets it.

        Owners take turns: first comes who has fewest jobs running, then who was served longest ago; no owner has more
        running than the key allows. Jobs of silent workers are taken back first.

        Args:
            worker: name of the worker, for people.
            lease_s: seconds for which it is this worker's unless renewed.

        Returns:
            The job, running; its ``lease`` is the worker's. None where nothing is to be done.
        """
        with self.database.writing() as work:
            leases.recover(work, self.settings.max_deaths)
            row = leases.take(work, worker, lease_s)
            return None if row is None else job_from(row)

    def renew(self, lease: Lease, lease_s: float) -> Standing:
        """Hold a job for so many seconds from now. Says whether to go on."""
        with self.database.writing(durable=False) as work:
            return leases.renew(work, lease, lease_s)

    def report(self, lease: Lease, progress: Progress, overall: float) -> Standing:
        """Write down how far a job is; a few times a second at most. It does not renew the lease.

        Args:
            lease: the worker's right.
            progress: the stage and its steps.
            overall: how far the whole job is, in [0, 1] (``stages.overall``).
        """
        with self.database.writing(durable=False) as work:
            return leases.report(work, lease, progress, overall)

    def announce(self, lease: Lease, kind: str, data: Mapping[str, Any]) -> Standing:
        """Add an event, such as ``preview`` with the name of a picture's file."""
        with self.database.writing(durable=False) as work:
            return leases.announce(work, lease, kind, data)

    def finish(self, lease: Lease, result: JobResult) -> bool:
        """End a job well.

        Returns:
            True where this result is the job's, also when that is said again; False where the lease is void, and the
            files are to be thrown away.
        """
        with self.database.writing() as work:
            return leases.finish(work, lease, result)

    def fail(self, lease: Lease, code: str, message: str) -> bool:
        """End a job badly, for good: because of the picture or the order. False where the lease is void.

        Args:
            lease: the worker's right.
            code: stable name of the reason, such as ``Lift3DError.code``.
            message: the reason in a sentence for the user.
        """
        with self.database.writing() as work:
            return leases.fail(work, lease, code, message)

    def stop(self, lease: Lease) -> bool:
        """End a job as canceled, after ``Standing.CANCEL``. False where the lease is void or nobody asked."""
        with self.database.writing() as work:
            return leases.stop(work, lease)

    def give_back(self, lease: Lease) -> bool:
        """Put a job back into its old place in the queue, with no harm done: the worker shuts down in order."""
        with self.database.writing() as work:
            return leases.give_back(work, lease)

    def lose(self, lease: Lease) -> bool:
        """Say that a job's worker died, before its lease shows it: it is queued again, or failed after too many."""
        with self.database.writing() as work:
            return leases.lose(work, lease, self.settings.max_deaths)

    def recover(self) -> int:
        """Take jobs from workers that did not renew their lease. Returns how many."""
        with self.database.writing() as work:
            return leases.recover(work, self.settings.max_deaths)

    # The keeper's side.

    def close_gate(self, closing: bool = True) -> None:
        """Take nothing new and start nothing more, for all processes; or again, with ``closing=False``."""
        with self.database.writing() as work:
            work.conn.execute(sa.update(GATE).values(closing=closing))

    @property
    def closing(self) -> bool:
        """Whether the gate is closed."""
        with self.database.reading() as work:
            return bool(work.conn.execute(sa.select(GATE.c.closing)).scalar_one())

    def expire(self, older_than_s: float, *, limit: int = 500) -> int:
        """Delete jobs that ended longer ago than so many seconds. Returns how many, at most ``limit``."""
        with self.database.writing() as work:
            query = sa.select(JOBS.c.id).where(
                JOBS.c.state.in_(ENDED), JOBS.c.finished_at < work.now - older_than_s, JOBS.c.deleted_at.is_(None)
            )
            ids = list(work.conn.execute(query.limit(limit).with_for_update(skip_locked=True)).scalars())
            _hide(work, ids)
            return len(ids)

    def doomed(self, *, limit: int = 500) -> list[Job]:
        """Deleted jobs that have ended, whose files may be taken away; then ``forget`` them."""
        query = sa.select(JOBS).where(JOBS.c.deleted_at.is_not(None), JOBS.c.state.in_(ENDED)).limit(limit)
        with self.database.reading() as work:
            return [job_from(row) for row in work.conn.execute(query)]

    def forget(self, job_id: str) -> None:
        """Take the last trace of a deleted job out of the database, after its files are gone."""
        with self.database.writing() as work:
            doomed = sa.select(JOBS.c.id).where(JOBS.c.id == job_id, JOBS.c.deleted_at.is_not(None))
            if work.conn.execute(doomed).first() is None:
                return
            batch = work.conn.execute(sa.select(JOBS.c.batch).where(JOBS.c.id == job_id)).scalar_one()
            work.conn.execute(sa.delete(EVENTS).where(EVENTS.c.job_id == job_id))
            work.conn.execute(sa.delete(JOBS).where(JOBS.c.id == job_id))
            if batch and work.conn.execute(sa.select(JOBS.c.id).where(JOBS.c.batch == batch).limit(1)).first() is None:
                work.conn.execute(sa.delete(REQUESTS).where(REQUESTS.c.answer == batch))

    def needs_picture(self, owner: str, picture_digest: str) -> bool:
        """Whether a job of this owner, deleted or not, is made from this picture."""
        query = sa.select(JOBS.c.id).where(JOBS.c.owner == owner, JOBS.c.picture_digest == picture_digest).limit(1)
        with self.database.reading() as work:
            return work.conn.execute(query).first() is not None

    def needs_folder(self, folder: str, *, besides: str) -> bool:
        """Whether another job than this one has its result in a folder."""
        named = JOBS.c.folders.contains(json.dumps(folder), autoescape=True)
        query = sa.select(JOBS.c.id).where(named, JOBS.c.id != besides).limit(1)
        with self.database.reading() as work:
            return work.conn.execute(query).first() is not None


def _visible(work: Work, job_id: str, owner: str, *, to_change: bool = False) -> Row[Any]:
    """The row of an owner's job."""
    if not is_id(job_id):
        raise NotHere(f"{job_id!r} is no id of a job; wanted 32 hex digits")
    query = sa.select(JOBS).where(JOBS.c.id == job_id, JOBS.c.owner == owner, JOBS.c.deleted_at.is_(None))
    row = work.conn.execute(query.with_for_update() if to_change else query).one_or_none()
    if row is None:
        raise NotHere(f"there is no job {job_id!r}; check its id and your key")
    return row


_NO_BATCH = "there is no batch {!r}; check its id and your key"


def _batch_id(batch: str) -> None:
    if not is_id(batch):
        raise NotHere(_NO_BATCH.format(batch))


def _cancel(work: Work, row: Row[Any]) -> Row[Any]:
    if row.state == JobState.QUEUED:
        return leases.end_canceled(work, row)
    if row.state == JobState.RUNNING and not row.cancel_asked:
        return change(work, row, "state", {"cancel_asked": True}, {"state": row.state, "cancel_asked": True})
    return row


def _hide(work: Work, ids: Sequence[str]) -> None:
    """Nobody sees these jobs any more, and their idempotency keys are free."""
    work.conn.execute(sa.update(JOBS).where(JOBS.c.id.in_(ids)).values(deleted_at=work.now))
    work.conn.execute(sa.delete(REQUESTS).where(REQUESTS.c.answer.in_(ids)))


def _checked(limit: int) -> int:
    if not 1 <= limit <= MOST_ON_A_PAGE:
        raise ConfigError(f"a limit lies in [1, {MOST_ON_A_PAGE}], got {limit}")
    return limit


def _cursor(job: Job) -> str:
    """Where a page ended: by content, so that it holds when that job is deleted."""
    return base64.urlsafe_b64encode(f"{job.created_at!r} {job.id}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[float, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        created_at, job_id = text.split(" ")
        if not is_id(job_id):
            raise ValueError(job_id)
        return float(created_at), job_id
    except (ValueError, binascii.Error) as error:
        raise ConfigError(f"{cursor!r} is no cursor of ours; take it from the page before, unchanged") from error
