"""What a job is: what was asked for, how far it is, and how it ended.

Times are seconds since 1970, UTC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipe_settings import with_settings
from lift3d_ray.recipes import Recipe, by_name
from lift3d_ray.subject.select import AUTOMATIC, Selection

LOCAL_OWNER = "local"
"""Owner of every job where the service listens to its own machine only and asks for no key."""

MOST_SEEDS = 16
"""Lifts of one picture that one order may ask for."""

MAX_SEED = 2**53 - 1
"""Largest seed: the largest whole number that every JSON reader keeps."""

LONGEST_NAME = 200
"""Letters of a picture's name at most."""

LONGEST_WORDS = 500
"""Letters at most of what a subject is called."""

UNNAMED = "picture"
"""What a picture without a name is called."""


def printable_name(text: str) -> str:
    """What people sent as a picture's name, without what cannot be printed, and no longer than it may be."""
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_NAME].strip() or UNNAMED


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job."""
        return self in ENDED


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})


@dataclass(frozen=True, kw_only=True)
class LiftOrder:
    """What was asked for, apart from the picture's bytes.

    Whether the recipe and the webhook's address are known and allowed is checked when a store accepts the order: what
    is stored is still read by a later release that knows them no more.

    Attributes:
        name: what people call the picture.
        recipe: name of the recipe.
        quality: how long it may take.
        settings: numbers of the recipe to exchange, each ``name=value``.
        seed: of the lift, in [0, ``MAX_SEED``].
        selection: what to lift of the picture.
        best_of: seeds to lift under, the best result kept.
        prompt: the subject in words, instead of the captioner's; None leaves it to the captioner.
        webhook: address to tell when the job ends; None tells nobody.
    """

    name: str = UNNAMED
    recipe: str = "make-it-3d"
    quality: str = "standard"
    settings: tuple[str, ...] = ()
    seed: int = 0
    selection: Selection = AUTOMATIC
    best_of: int = 1
    prompt: str | None = None
    webhook: str | None = None

    def __post_init__(self) -> None:
        _require(0 < len(self.name) <= LONGEST_NAME, f"a name has 1 to {LONGEST_NAME} letters, got {len(self.name)}")
        _require(0 <= self.seed <= MAX_SEED, f"a seed lies in [0, {MAX_SEED}], got {self.seed}")
        _require(1 <= self.best_of <= MOST_SEEDS, f"best_of lies in [1, {MOST_SEEDS}], got {self.best_of}")
        for what, words in (("a prompt", self.prompt), ("the words of a selection", self.selection.words)):
            _require(
                words is None or 0 < len(words.strip()) <= len(words) <= LONGEST_WORDS,
                f"{what} may have 1 to {LONGEST_WORDS} letters, got {len(words or '')}",
            )
        for words in (self.name, self.prompt, self.selection.words, self.webhook):
            _require(words is None or words.isprintable(), f"names, words and addresses are printable, got {words!r}")

    def chosen_recipe(self) -> Recipe:
        """The recipe with its exchanged numbers.

        Raises:
            ConfigError: no such recipe, quality or setting, or a number that it refuses.
        """
        return with_settings(by_name(self.recipe, self.quality), self.settings)

    def to_json(self) -> str:
        """All of it as JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LiftOrder:
        """The order that ``to_json`` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **values,
                "settings": tuple(values["settings"]),
                "selection": selection_from(values["selection"]),
            }
        )

    def digest(self, picture_digest: str) -> str:
        """What tells one request from another, 64 hex digits: the order and the picture's digest."""
        return hashlib.sha256(f"{picture_digest}\n{self.to_json()}".encode()).hexdigest()


def selection_from(values: Mapping[str, Any]) -> Selection:
    """A selection from plain JSON values, named as its attributes are."""
    box = values.get("box_xyxy_frac")
    return Selection(
        points_xy_frac=tuple((float(x), float(y)) for x, y in values.get("points_xy_frac", ())),
        labels=tuple(bool(label) for label in values.get("labels", ())),
        box_xyxy_frac=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        words=values.get("words"),
        every=bool(values.get("every", False)),
        thing=int(values.get("thing", 0)),
    )


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a lift left behind.

    Attributes:
        folders: folders of its assets, relative to the output folder: one, or one for every thing in the picture.
        caption: words for the subject; "" where there are several.
        stored_bytes: bytes of all its files.
    """

    folders: tuple[str, ...] = ()
    caption: str = ""
    stored_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right of one worker to run a job: it ends when it is not renewed, and another attempt makes it void.

    Attributes:
        job_id: of what.
        attempt: which start of the job this is, counted from 1.
    """

    job_id: str
    attempt: int


class Standing(StrEnum):
    """What a worker is told when it reports."""

    GO_ON = "go on"
    CANCEL = "cancel"
    """Somebody asked for it: stop, then call ``JobStore.stop``."""
    LOST = "lost"
    """The lease ran out, or the job has ended: stop, and publish nothing."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it stands.

    Attributes:
        id: 32 hex digits that cannot be guessed.
        owner: id of the API key it belongs to.
        order: what was asked for.
        picture_digest: hex SHA-256 of the picture's bytes.
        picture_bytes: how many they are.
        batch: id of the batch it came with, "" where it came alone.
        state: where it stands.
        stage: name of the stage it is in or ended in; "" before it ran.
        step: steps done in the stage.
        steps: steps of the stage.
        progress: how far it is in all, in [0, 1]; never falls within one attempt.
        attempt: starts so far.
        cancel_asked: somebody asked a running job to stop.
        version: grows with every change, from 1; names the present state of the job.
        created_at: when it was accepted.
        started_at: when it first ran, or None.
        finished_at: when it ended, or None.
        error_code: stable name of what went wrong, "" where nothing did.
        error_message: the same in a sentence.
        result: what it left behind.
    """

    id: str
    owner: str
    order: LiftOrder
    picture_digest: str
    picture_bytes: int
    batch: str
    state: JobState
    stage: str
    step: int
    steps: int
    progress: float
    attempt: int
    cancel_asked: bool
    version: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    error_code: str
    error_message: str
    result: JobResult

    @property
    def lease(self) -> Lease:
        """The right to run it, for the worker that was just given it."""
        return Lease(job_id=self.id, attempt=self.attempt)

    @property
    def etag(self) -> str:
        """Entity tag of the job's present state, with its quotes."""
        return f'"{self.id}-{self.version}"'


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job.

    Attributes:
        number: the job's version after it, so numbers grow within a job: the id of a server-sent event.
        kind: ``state``, ``stage``, ``progress`` or ``preview``.
        at: when.
        data: plain JSON values: ``state`` and, where it failed, ``code`` and ``message``; ``stage``; with ``progress``
            also ``progress``, ``step`` and ``steps``; with ``preview`` the ``name`` of the picture's file.
    """

    number: int
    kind: str
    at: float
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of an owner's jobs, newest first.

    Attributes:
        jobs: the jobs.
        cursor: where the next page begins, None where this is the last one.
    """

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long a job may still take; None where nothing is known.

    Attributes:
        position: place in the queue, counted from 1; None where it is not queued.
        seconds_to_start: until it runs.
        seconds_to_end: until it has ended.
    """

    position: int | None
    seconds_to_start: float | None
    seconds_to_end: float | None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an owner, or all of them, take up now.

    Attributes:
        queued: jobs waiting.
        running: jobs running.
        ended: jobs that ended and are still kept.
        stored_bytes: bytes of pictures and results.
    """

    queued: int
    running: int
    ended: int
    stored_bytes: int


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
