"""Rows of the job table as values, and the one way in which a row changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.service import outbox
from lift3d_ray.service.database import Work
from lift3d_ray.service.jobs import Job, JobResult, JobState, Lease, LiftOrder
from lift3d_ray.service.tables import EVENTS, JOBS


def job_from(row: Row[Any]) -> Job:
    """A row of the job table as a job."""
    values = row._mapping
    same = {name: values[name] for name in _SAME}
    return Job(
        **same,
        order=LiftOrder.from_json(values["request"]),
        state=JobState(values["state"]),
        result=JobResult(
            folders=tuple(json.loads(values["folders"])),
            caption=values["caption"],
            stored_bytes=values["result_bytes"],
        ),
    )


_SAME = (
    *("id", "owner", "picture_digest", "picture_bytes", "batch", "stage", "step", "steps", "progress", "attempt"),
    *("cancel_asked", "version", "created_at", "started_at", "finished_at", "error_code", "error_message"),
)


def held(work: Work, job_id: str) -> Row[Any] | None:
    """The row of a job, which nobody else changes until the transaction ends; None where there is no such job."""
    return work.conn.execute(sa.select(JOBS).where(JOBS.c.id == job_id).with_for_update()).one_or_none()


def held_by(work: Work, lease: Lease) -> Row[Any] | None:
    """The same for the worker that runs the job; None where its lease is void."""
    row = held(work, lease.job_id)
    mine = row is not None and row.state == JobState.RUNNING and row.attempt == lease.attempt
    return row if mine else None


def change(
    work: Work, row: Row[Any], event: str, values: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> Row[Any]:
    """Change a job that is held, count its version up, and write down what happened.

    Of progress only the latest is kept: it says what all the earlier ones said.

    Args:
        work: the transaction.
        row: the row as it is.
        event: kind of the event.
        values: columns to set.
        data: what the event tells, where it is not read off the columns.

    Returns:
        The row as it is now.
    """
    version = row.version + 1
    update = sa.update(JOBS).where(JOBS.c.id == row.id).values({**values, "version": version}).returning(JOBS)
    changed = work.conn.execute(update).one()
    if event == "progress":
        work.conn.execute(sa.delete(EVENTS).where(EVENTS.c.job_id == row.id, EVENTS.c.kind == event))
    note(work, row.id, version, event, _data(changed, event) if data is None else data)
    if event == "state" and JobState(changed.state).ended:
        outbox.post(work, changed)
    return changed


def note(work: Work, job_id: str, number: int, kind: str, data: Mapping[str, Any]) -> None:
    """Write down an event."""
    text = json.dumps(data, sort_keys=True)
    work.conn.execute(EVENTS.insert().values(job_id=job_id, number=number, kind=kind, at=work.now, data=text))


def _data(row: Row[Any], event: str) -> dict[str, Any]:
    """What the event of a changed row tells."""
    if event == "state":
        error = {"code": row.error_code, "message": row.error_message} if row.error_code else {}
        return {"state": row.state, **error}
    if event == "stage":
        return {"stage": row.stage, "progress": row.progress}
    return {"stage": row.stage, "progress": row.progress, "step": row.step, "steps": row.steps}
