"""Who runs which job: fair claims, leases that end with their workers, and how a job comes to its end.

A worker holds a job for as long as it renews its lease. A job whose lease ran out goes back to its old place in the
queue, and after some deaths it is given up. What an attempt says is heard only while it is the job's latest, so that
however often a job is started, it ends once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.service.database import Work
from lift3d_ray.service.jobs import JobResult, JobState, Lease, Standing
from lift3d_ray.service.rows import change, held_by
from lift3d_ray.service.tables import GATE, JOBS, OWNERS
from lift3d_ray.service.waiting import FIRST, RUNNING
from lift3d_ray.types import Progress

WORKER_LOST = "worker-lost"
"""Error code of a job that took every worker with it."""

_LONGEST_TEXT = 2000


def take(work: Work, worker: str, lease_s: float) -> Row[Any] | None:
    """Start the job whose turn it is; see ``JobStore.claim``."""
    if work.conn.execute(sa.select(GATE.c.closing)).scalar_one():
        return None
    # Owners whose rows another worker holds just now are left to it, unless nobody else has anything to do.
    for waits in (False, True):
        for owner in _turns(work):
            row = _next_of(work, owner, waits=waits)
            if row is not None:
                return _start(work, row, worker, lease_s)
    return None


def _turns(work: Work) -> list[str]:
    """Owners with jobs waiting: those with fewest running first, and among equals whoever was served longest ago."""
    query = (
        sa.select(JOBS.c.owner)
        .join(OWNERS, OWNERS.c.id == JOBS.c.owner)
        .where(JOBS.c.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .group_by(JOBS.c.owner, OWNERS.c.served_at, OWNERS.c.max_running)
        .having(FIRST.is_not(None), OWNERS.c.max_running > RUNNING)
        .order_by(RUNNING, OWNERS.c.served_at, FIRST)
    )
    return list(work.conn.execute(query).scalars())


def _next_of(work: Work, owner: str, *, waits: bool) -> Row[Any] | None:
    """An owner's oldest waiting job, with both rows held; None where there is none, or none may run now."""
    query = sa.select(OWNERS.c.max_running).where(OWNERS.c.id == owner).with_for_update(skip_locked=not waits)
    most = work.conn.execute(query).scalar_one_or_none()
    if most is None:
        return None
    # Counted again now that nobody else can start a job of this owner.
    running = sa.select(sa.func.count()).where(JOBS.c.owner == owner, JOBS.c.state == JobState.RUNNING)
    if work.conn.execute(running).scalar_one() >= most:
        return None
    waiting = sa.select(JOBS).where(JOBS.c.owner == owner, JOBS.c.state == JobState.QUEUED)
    oldest = waiting.order_by(JOBS.c.ticket).limit(1).with_for_update(skip_locked=True)
    return work.conn.execute(oldest).one_or_none()


def _start(work: Work, row: Row[Any], worker: str, lease_s: float) -> Row[Any]:
    work.conn.execute(sa.update(OWNERS).where(OWNERS.c.id == row.owner).values(served_at=work.now))
    values = {
        "state": JobState.RUNNING,
        "attempt": row.attempt + 1,
        "worker": worker,
        "lease_until": work.now + lease_s,
        "began_at": work.now,
        "started_at": work.now if row.started_at is None else row.started_at,
    }
    return change(work, row, "state", values)


def standing(row: Row[Any] | None) -> Standing:
    """What to tell the worker of a row that it holds, or no longer does."""
    if row is None:
        return Standing.LOST
    return Standing.CANCEL if row.cancel_asked else Standing.GO_ON


def renew(work: Work, lease: Lease, lease_s: float) -> Standing:
    """Hold a job for longer; see ``JobStore.renew``."""
    row = held_by(work, lease)
    if row is not None:
        # No version: nothing that anybody sees has changed.
        work.conn.execute(sa.update(JOBS).where(JOBS.c.id == row.id).values(lease_until=work.now + lease_s))
    return standing(row)


def report(work: Work, lease: Lease, progress: Progress, overall: float) -> Standing:
    """Write down how far a job is; see ``JobStore.report``."""
    row = held_by(work, lease)
    if row is not None:
        values = {
            "stage": progress.stage,
            "step": progress.step,
            "steps": progress.steps,
            "progress": max(row.progress, min(1.0, overall)),
        }
        row = change(work, row, "progress" if row.stage == progress.stage else "stage", values)
    return standing(row)


def announce(work: Work, lease: Lease, kind: str, data: Mapping[str, Any]) -> Standing:
    """Add an event of the worker's own; see ``JobStore.announce``."""
    row = held_by(work, lease)
    if row is not None:
        row = change(work, row, kind, {}, data)
    return standing(row)


def finish(work: Work, lease: Lease, result: JobResult) -> bool:
    """End a job well; see ``JobStore.finish``."""
    row = held_by(work, lease)
    folders = json.dumps(result.folders)
    if row is None:
        return _ended_so(work, lease, JobState.SUCCEEDED, folders=folders)
    values = {
        "progress": 1.0,
        "folders": folders,
        "caption": _storable(result.caption),
        "result_bytes": result.stored_bytes,
    }
    _end(work, row, JobState.SUCCEEDED, values)
    return True


def fail(work: Work, lease: Lease, code: str, message: str) -> bool:
    """End a job badly; see ``JobStore.fail``."""
    row = held_by(work, lease)
    if row is None:
        return _ended_so(work, lease, JobState.FAILED, error_code=code)
    _fail(work, row, code, message)
    return True


def _ended_so(work: Work, lease: Lease, state: JobState, **values: str) -> bool:
    """Whether this very attempt has ended the job like that before: the worker did not hear that it was heard."""
    query = sa.select(JOBS.c.id).where(JOBS.c.id == lease.job_id, JOBS.c.attempt == lease.attempt)
    query = query.where(JOBS.c.state == state, *(JOBS.c[name] == value for name, value in values.items()))
    return work.conn.execute(query).first() is not None


def stop(work: Work, lease: Lease) -> bool:
    """End a job whose cancelling was asked for; see ``JobStore.stop``."""
    row = held_by(work, lease)
    if row is None or not row.cancel_asked:
        return False
    end_canceled(work, row)
    return True


def give_back(work: Work, lease: Lease) -> bool:
    """Put a job back into the queue; see ``JobStore.give_back``."""
    row = held_by(work, lease)
    if row is None:
        return False
    _requeue(work, row, deaths=row.deaths)
    return True


def lose(work: Work, lease: Lease, most_deaths: int) -> bool:
    """Count a worker's death at once; see ``JobStore.lose``."""
    row = held_by(work, lease)
    if row is None:
        return False
    _bury(work, row, most_deaths)
    return True


def recover(work: Work, most_deaths: int) -> int:
    """Take jobs from workers that are silent for too long; see ``JobStore.recover``."""
    lapsed = sa.select(JOBS).where(JOBS.c.state == JobState.RUNNING, JOBS.c.lease_until < work.now)
    rows = work.conn.execute(lapsed.with_for_update(skip_locked=True)).all()
    for row in rows:
        _bury(work, row, most_deaths)
    return len(rows)


def end_canceled(work: Work, row: Row[Any]) -> Row[Any]:
    """End a job that is held as canceled."""
    return _end(work, row, JobState.CANCELED, {})


def _bury(work: Work, row: Row[Any], most_deaths: int) -> None:
    """What becomes of a job whose worker died."""
    deaths = row.deaths + 1
    if row.cancel_asked:
        end_canceled(work, row)
    elif deaths < most_deaths:
        _requeue(work, row, deaths=deaths)
    else:
        message = (
            f"{deaths} workers died while they lifted this picture, the last in stage {row.stage or 'perceive'}; "
            "it may need more memory than they have: try a smaller picture or another quality"
        )
        _fail(work, row, WORKER_LOST, message)


def _requeue(work: Work, row: Row[Any], *, deaths: int) -> None:
    """Back to the old place: the ticket stays. Where somebody asked for its end meanwhile, that is its end."""
    if row.cancel_asked:
        end_canceled(work, row)
        return
    values = {"stage": "", "step": 0, "steps": 0, "progress": 0.0, "deaths": deaths, "lease_until": None}
    change(work, row, "state", {**values, "state": JobState.QUEUED})


def _fail(work: Work, row: Row[Any], code: str, message: str) -> None:
    _end(work, row, JobState.FAILED, {"error_code": code, "error_message": _storable(message)})


def _storable(text: str) -> str:
    """A text without what a database refuses: zero bytes and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]


def _end(work: Work, row: Row[Any], state: JobState, values: Mapping[str, Any]) -> Row[Any]:
    ended = {"state": state, "finished_at": work.now, "lease_until": None}
    return change(work, row, "state", {**values, **ended})
