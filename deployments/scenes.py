"""The optimizer of the service: one job at a time, from the picture's bytes to files in place.

A plain class over the same route as a run of ``submit``; a Ray actor hosts it. It knows no database: the dispatcher
asks it how far it is, and tells it to stop.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from lift3d_ray.batch.failures import Failure, attempt
from lift3d_ray.batch.resources import Share
from lift3d_ray.batch.route import Optimize, Route, RunContext, provenance_of
from lift3d_ray.service.jobs import JobResult, LiftOrder
from lift3d_ray.service.stages import overall
from lift3d_ray.store.claims import claim
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.keys import Settings, picture_seed
from lift3d_ray.store.publish import publish
from lift3d_ray.types import MaskProposal, Progress, UInt8

LOOK_EVERY_S = 2.0
"""Shortest time between two pictures of a lift on its way."""
LOOK_SHARE = 0.1
"""Largest part of a lift's time that goes into such pictures."""
_JPEG_QUALITY = 85
_FIRST, _LAST = "segment", "export"


@dataclass(frozen=True, kw_only=True)
class SceneSetup:
    """What an optimizer is told once.

    Attributes:
        route: what to do with a picture.
        share: what it may take of the machine.
        out: absolute address of the service's folder.
        bundle: name or folder of the model bundle.
        bundle_digest: its digest.
        app_name: Serve application that holds the models.
    """

    route: Route
    share: Share
    out: str
    bundle: str
    bundle_digest: str
    app_name: str


@dataclass(frozen=True, kw_only=True)
class SceneTask:
    """One job, as its optimizer needs it.

    Attributes:
        job_id: of the job.
        attempt: which start of it this is.
        order: what was asked for.
        picture: the picture's bytes.
        picture_digest: their digest.
    """

    job_id: str
    attempt: int
    order: LiftOrder
    picture: bytes
    picture_digest: str


@dataclass(frozen=True, kw_only=True)
class SceneEnd:
    """How a task ended: with a result, a failure, or neither where it was told to stop.

    Attributes:
        result: what it left behind.
        failure: why there is nothing.
    """

    result: JobResult | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Glance:
    """How far a task is.

    Attributes:
        progress: its last report.
        share: how much of it is done in all, in [0, 1].
        sight: number of its newest picture; 0 before the first.
        jpeg: that picture, where the asker has an older one.
    """

    progress: Progress
    share: float
    sight: int = 0
    jpeg: bytes = b""


class Stopped(BaseException):
    """Raised inside a lift that was told to stop. No ``Exception``: nobody on its way out may take it for a failure."""


@dataclass(kw_only=True)
class _Now:
    """What is known of the task at hand, by any thread."""

    glance: Glance = field(default_factory=lambda: Glance(progress=_at(_FIRST), share=0.0))
    stop: bool = False


class SceneWorker:
    """Lifts jobs one after another; what recipes need is loaded once."""

    def __init__(self, setup: SceneSetup) -> None:
        self._setup = setup
        self._folder = open_folder(setup.out)
        self._optimizers: dict[tuple[str, int], Optimize] = {}
        self._lock = threading.Lock()
        self._now = _Now()

    def lift(self, task: SceneTask) -> SceneEnd:
        """Lift a job to its end, whatever that is."""
        with self._lock:
            now = self._now = _Now()
        try:
            done = attempt(lambda: self._lift(task, now))
        except Stopped:
            return SceneEnd()
        return SceneEnd(failure=done) if isinstance(done, Failure) else SceneEnd(result=done)

    def glance(self, seen: int) -> Glance:
        """How far the task is; its picture too where the newest is not the one that was ``seen``."""
        glance = self._now.glance
        return replace(glance, jpeg=b"") if glance.sight <= seen else glance

    def stop(self) -> None:
        """Let the task at hand end at its next report."""
        with self._lock:
            self._now.stop = True

    def _lift(self, task: SceneTask, now: _Now) -> JobResult:
        """Every thing that the order selects, one after another."""
        setup, order = self._setup, task.order
        context = _context(setup, task)
        report = _Reporter(now)
        report(_at(_FIRST))
        masks: Sequence[MaskProposal | None] = [None]
        if order.selection.every:
            masks = setup.route.open_find(context)(task.picture, name=order.name)
        perceive = setup.route.open_perceive(context)
        optimize = self._optimizer(context)
        folders, captions, written = [], [], 0
        for number, mask in enumerate(masks, start=1):
            report.thing(number, len(masks))
            started = time.perf_counter()
            report(_at(_FIRST))
            perceived = perceive(task.picture, name=order.name, mask=mask)
            perceived = replace(perceived, seconds=time.perf_counter() - started)
            thing = number if order.selection.every else order.selection.thing
            seed = picture_seed(order.seed, task.picture_digest, thing)
            asset = optimize(perceived, seed=seed, report=report)
            report(_at(_LAST))
            provenance = provenance_of(
                context, perceived, name=order.name, digest=task.picture_digest, thing=thing
            )
            sizes: list[int] = []

            def write(work: Path, asset=asset, provenance=provenance, sizes=sizes) -> None:  # type: ignore[no-untyped-def]
                setup.route.write(asset, work, provenance)
                sizes.extend(path.stat().st_size for path in work.iterdir())

            key = f"{task.job_id}-{task.attempt}"
            with claim(self._folder, key):
                folders.append(publish(self._folder, f"{key}-{number}", key, write))
            captions.append(perceived.perception.caption)
            written += sum(sizes)
        return JobResult(
            folders=tuple(folders), caption=captions[0] if len(captions) == 1 else "", stored_bytes=written
        )

    def _optimizer(self, context: RunContext) -> Optimize:
        key = (context.recipe.digest, context.best_of)
        if key not in self._optimizers:
            # One at a time: each holds its own copy of the codec, and of whatever else its recipe asks for.
            self._optimizers.clear()
            self._optimizers[key] = self._setup.route.open_optimize(context, self._setup.share)
        return self._optimizers[key]


class _Reporter:
    """Keeps what a lift reports, draws it now and then, and ends it where it was told to stop."""

    def __init__(self, now: _Now) -> None:
        self._now = now
        self._looked_at, self._looking_s = -float("inf"), 0.0
        self._began = time.perf_counter()
        self.thing(1, 1)

    def thing(self, number: int, count: int) -> None:
        """Say which of how many things comes next."""
        self._number, self._count = number, count

    def __call__(self, progress: Progress) -> None:
        """See ``Report``."""
        from lift3d_ray.optimize.look import Sight, plain

        if self._now.stop:
            raise Stopped
        share = (self._number - 1 + share_done(progress)) / self._count
        glance = replace(self._now.glance, progress=plain(progress), share=share)
        if isinstance(progress, Sight) and self._may_look():
            started = time.perf_counter()
            glance = replace(glance, sight=glance.sight + 1, jpeg=_jpeg(progress.look()))
            self._looked_at = time.perf_counter()
            self._looking_s += self._looked_at - started
        self._now.glance = glance

    def _may_look(self) -> bool:
        now = time.perf_counter()
        spent = self._looking_s / max(now - self._began, 1e-6)
        return now - self._looked_at >= LOOK_EVERY_S and spent <= LOOK_SHARE


def share_done(progress: Progress) -> float:
    """Part of one thing's lift that is done, in [0, 1], also where the report is of one of several seeds."""
    stage, _, numbers = progress.stage.partition(" ")
    share = overall(replace(progress, stage=stage))
    if not numbers:
        return share
    number, count = (int(part) for part in numbers.split("/"))
    first, last = overall(_at("optimize")), overall(_at(_LAST))
    return first + (last - first) * (number - 1 + (share - first) / (last - first)) / count


def _at(stage: str) -> Progress:
    return Progress(stage=stage, step=0, steps=1)


def _jpeg(rgb_HWC: UInt8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb_HWC).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def _context(setup: SceneSetup, task: SceneTask) -> RunContext:
    order = task.order
    recipe = order.chosen_recipe()
    settings = Settings(
        recipe=recipe.name,
        quality=str(recipe.quality),
        recipe_digest=recipe.digest,
        bundle_digest=setup.bundle_digest,
        run_seed=order.seed,
        selection=order.selection.text,
        best_of=order.best_of,
    )
    return RunContext(
        run=task.job_id,
        out=setup.out,
        settings=settings,
        recipe=recipe,
        bundle=setup.bundle,
        app_name=setup.app_name,
        selection=order.selection,
        best_of=order.best_of,
        prompt=order.prompt,
    )
