"""Places in the queue and how long things take: what is told to those who wait."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Row

from lift3d_ray.service.database import Work
from lift3d_ray.service.jobs import JobState, Usage, Wait
from lift3d_ray.service.tables import JOBS, OWNERS

_RECENT = 20

RUNNING = sa.func.sum(sa.case((JOBS.c.state == JobState.RUNNING, 1), else_=0))
FIRST = sa.func.min(sa.case((JOBS.c.state == JobState.QUEUED, JOBS.c.ticket)))
"""Of jobs grouped by owner, what turns go by: how many run, and the first ticket that waits (NULL: none does)."""


def wait_for(work: Work, row: Row[Any]) -> Wait:
    """How long a job may still take; see ``JobStore.wait``."""
    usual = _usual_seconds(work, row)
    if row.state == JobState.RUNNING:
        left = None if usual is None else max(0.0, row.began_at + usual - work.now)
        return Wait(position=None, seconds_to_start=0.0, seconds_to_end=left)
    if row.state != JobState.QUEUED:
        return Wait(position=None, seconds_to_start=None, seconds_to_end=None)
    position = _position(work, row)
    if usual is None:
        return Wait(position=position, seconds_to_start=None, seconds_to_end=None)
    lanes = sa.select(sa.func.count()).where(JOBS.c.state == JobState.RUNNING)
    start = usual * math.ceil(position / max(1, work.conn.execute(lanes).scalar_one()))
    return Wait(position=position, seconds_to_start=start, seconds_to_end=start + usual)


def _position(work: Work, row: Row[Any]) -> int:
    """Place in the queue, from 1, when owners take turns."""
    before = sa.select(sa.func.count()).where(
        JOBS.c.owner == row.owner, JOBS.c.state == JobState.QUEUED, JOBS.c.ticket < row.ticket
    )
    own = work.conn.execute(before).scalar_one()
    queued = sa.func.sum(sa.case((JOBS.c.state == JobState.QUEUED, 1), else_=0))
    query = (
        sa.select(JOBS.c.owner, queued, RUNNING, FIRST, OWNERS.c.served_at)
        .join(OWNERS, OWNERS.c.id == JOBS.c.owner)
        .where(JOBS.c.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .group_by(JOBS.c.owner, OWNERS.c.served_at)
    )
    found = work.conn.execute(query).all()
    owners = {owner: _Turn(queued, running, served_at, first) for owner, queued, running, first, served_at in found}
    owners = {owner: turn for owner, turn in owners.items() if turn.queued}
    mine = owners.pop(row.owner)
    return 1 + own + sum(_ahead(other, mine, own) for other in owners.values())


class _Turn(NamedTuple):
    """Where an owner stands: jobs waiting and running, when one was last started, and the first ticket that waits."""

    queued: int
    running: int
    served_at: float
    first: int


def _ahead(other: _Turn, mine: _Turn, own: int) -> int:
    """How many of another owner's jobs come before the one that has ``own`` jobs of its own owner before it."""
    goes_first = (other.running, other.served_at, other.first) < (mine.running, mine.served_at, mine.first)
    catches_up = mine.running - other.running
    return max(0, min(other.queued, own + (catches_up if catches_up else int(goes_first))))


def _usual_seconds(work: Work, row: Row[Any]) -> float | None:
    """Median seconds of what was lately lifted alike, or None where nothing was."""
    query = (
        sa.select(JOBS.c.finished_at - JOBS.c.began_at, JOBS.c.best_of)
        .where(JOBS.c.state == JobState.SUCCEEDED, JOBS.c.recipe == row.recipe, JOBS.c.quality == row.quality)
        .order_by(JOBS.c.finished_at.desc())
        .limit(_RECENT)
    )
    alike = [seconds / best_of for seconds, best_of in work.conn.execute(query)]
    return statistics.median(alike) * row.best_of if alike else None


def usage(work: Work, owner: str | None) -> Usage:
    """What an owner, or all of them, take up; see ``JobStore.usage``."""
    query = sa.select(
        JOBS.c.state, sa.func.count(), sa.func.sum(JOBS.c.picture_bytes + JOBS.c.result_bytes)
    ).group_by(JOBS.c.state)
    if owner is not None:
        query = query.where(JOBS.c.owner == owner)
    found = work.conn.execute(query).all()
    counts: Mapping[str, int] = {state: count for state, count, _ in found}
    return Usage(
        queued=counts.get(JobState.QUEUED, 0),
        running=counts.get(JobState.RUNNING, 0),
        ended=sum(count for state, count in counts.items() if JobState(state).ended),
        stored_bytes=int(sum(stored or 0 for _, _, stored in found)),
    )
