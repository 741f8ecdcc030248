"""What answers look like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from lift3d_ray.service.jobs import Job, JobState, Wait


class Fault(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable name.")
    message: str = Field(description="What was got, what was wanted, what to do.")


class FaultDocument(BaseModel):
    """Every answer that is no success."""

    error: Fault


class FileDocument(BaseModel):
    """A file of a lift."""

    name: str = Field(description="As it is asked for: asset.glb, or 2/asset.glb of the second of several things.")
    url: str
    media_type: str
    bytes: int
    thing: int = Field(description="Which thing of the picture, counted from 1.")


class LiftDocument(BaseModel):
    """A lift as it stands."""

    id: str
    status: JobState
    stage: str = Field(description="What is being done, '' before it runs.")
    step: int
    steps: int
    progress: float = Field(description="How much is done in all, 0 to 1.")
    queue_position: int | None = Field(description="Place in the queue, from 1, while queued.")
    starts_in_s: float | None = Field(description="Seconds until it runs, where that can be told.")
    ends_in_s: float | None = Field(description="Seconds until it has ended, where that can be told.")
    cancel_asked: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    name: str
    recipe: str
    quality: str
    seed: int
    selection: str
    best_of: int
    prompt: str | None
    batch: str | None
    caption: str | None = Field(description="What the subject is, once that is known.")
    things: int = Field(description="Assets that it left.")
    files: list[FileDocument] = Field(description="What it left; told of single lifts, not in lists.")
    preview: str | None = Field(description="Where the newest picture of the lift on its way is.")
    error: Fault | None


class LiftPage(BaseModel):
    """Some lifts, newest first."""

    lifts: list[LiftDocument]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class BatchDocument(BaseModel):
    """A batch as it stands."""

    id: str
    lifts: int
    counts: dict[JobState, int]
    ended: bool
    url: str = Field(description="Where its lifts are listed.")


class MaskDocument(BaseModel):
    """One proposal."""

    score: float
    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom in fractions of the picture.")
    area: float = Field(description="Part of the picture that it covers.")
    png: str = Field(description="data:image/png;base64,... one bit a pixel, white on the subject.")


class SegmentDocument(BaseModel):
    """What was cut out, best first."""

    width: int = Field(description="Of the masks: the upright picture at its working size.")
    height: int
    masks: list[MaskDocument]


class CaptionDocument(BaseModel):
    """The subject in words."""

    caption: str


class HealthDocument(BaseModel):
    """Whether the service can do its work."""

    status: str
    parts: dict[str, str] = Field(description="'ok', or what is wrong.")


def moment(seconds: float | None) -> datetime | None:
    """A time as people write it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def lift_document(job: Job, wait: Wait | None, files: Sequence[FileDocument], preview: str | None) -> LiftDocument:
    """A job as its owner sees it."""
    created = moment(job.created_at)
    assert created is not None
    return LiftDocument(
        id=job.id,
        status=job.state,
        stage=job.stage,
        step=job.step,
        steps=job.steps,
        progress=job.progress,
        queue_position=None if wait is None else wait.position,
        starts_in_s=None if wait is None else wait.seconds_to_start,
        ends_in_s=None if wait is None else wait.seconds_to_end,
        cancel_asked=job.cancel_asked,
        created_at=created,
        started_at=moment(job.started_at),
        finished_at=moment(job.finished_at),
        name=job.order.name,
        recipe=job.order.recipe,
        quality=job.order.quality,
        seed=job.order.seed,
        selection=job.order.selection.text,
        best_of=job.order.best_of,
        prompt=job.order.prompt,
        batch=job.batch or None,
        caption=job.result.caption or None,
        things=len(job.result.folders),
        files=list(files),
        preview=preview,
        error=Fault(code=job.error_code, message=job.error_message) if job.error_code else None,
    )
