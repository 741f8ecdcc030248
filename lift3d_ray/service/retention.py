"""Taking away what nobody needs: deleted and old jobs with their files, pictures without jobs, mail that is done with.

Files go first and the rows that name them last, so that a sweep that is killed is done again by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lift3d_ray.errors import ConfigError
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import Job
from lift3d_ray.service.store import JobStore
from lift3d_ray.service.webhooks import forget_mail

_DAY_S = 86400.0


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long things are kept.

    Attributes:
        jobs_days: days after a job's end; None keeps jobs until they are deleted.
        mail_days: days for which delivered or given-up messages are remembered.
        stray_hours: hours after which a picture without a job is taken for one whose request was never accepted.
    """

    jobs_days: float | None = 30.0
    mail_days: float = 7.0
    stray_hours: float = 24.0

    def __post_init__(self) -> None:
        for name in ("jobs_days", "mail_days", "stray_hours"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep took away.

    Attributes:
        jobs: jobs with their files.
        pictures: pictures that never had a job.
        messages: messages of the outbox.
    """

    jobs: int
    pictures: int
    messages: int


def sweep(
    store: JobStore, files: JobFiles, retention: Retention, *, clock: Callable[[], float] = time.time
) -> Swept:
    """Take away what nobody needs. Several may sweep at once.

    Args:
        store: the jobs.
        files: their files.
        retention: how long things are kept.
        clock: seconds since 1970, as of the files' times.
    """
    if retention.jobs_days is not None:
        while store.expire(retention.jobs_days * _DAY_S):
            pass
    jobs = 0
    while doomed := store.doomed():
        for job in doomed:
            _take_away(store, files, job)
        jobs += len(doomed)
    messages = forget_mail(store.database, retention.mail_days * _DAY_S)
    strays = _sweep_strays(store, files, clock() - retention.stray_hours * 3600)
    return Swept(jobs=jobs, pictures=strays, messages=messages)


def _take_away(store: JobStore, files: JobFiles, job: Job) -> None:
    """A deleted job's files, then the job."""
    for folder in job.result.folders:
        if not store.needs_folder(folder, besides=job.id):
            files.delete_folder(folder)
    files.delete_previews(job.id)
    store.forget(job.id)
    if not store.needs_picture(job.owner, job.picture_digest):
        files.delete_picture(job.owner, job.picture_digest)


def _sweep_strays(store: JobStore, files: JobFiles, sent_before: float) -> int:
    strays = 0
    for owner, digest, sent_at in files.pictures():
        if sent_at < sent_before and not store.needs_picture(owner, digest):
            files.delete_picture(owner, digest)
            strays += 1
    return strays
