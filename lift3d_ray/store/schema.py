"""The outcome of one row, and the Arrow schema of the manifest that lists them all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from lift3d_ray.errors import InputError, Lift3DError
from lift3d_ray.store.keys import AUTOMATIC

Status = Literal["done", "failed", "parted"]
"""``parted``: a picture whose every thing is lifted for itself, and has an outcome for itself."""

METRIC_COLUMNS = ("reference_psnr", "reference_iou", "prior_batch")
"""Metrics that get a column of their own in the manifest; all of them are in its ``metrics`` map."""

INTERNAL = "internal"
"""Error code of a row that met an exception nobody foresaw: a defect of this package, not of the picture."""

_MAP = pa.map_(pa.string(), pa.float64())

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("picture_digest", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("selection", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
        pa.field("recipe_digest", pa.string(), nullable=False),
        pa.field("bundle_digest", pa.string(), nullable=False),
        pa.field("run_seed", pa.int64(), nullable=False),
        pa.field("seed", pa.int64()),
        pa.field("folder", pa.string()),
        pa.field("seconds", pa.float64()),
        pa.field("stage_seconds", _MAP),
        pa.field("metrics", _MAP),
        *(pa.field(name, pa.float64()) for name in METRIC_COLUMNS),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("run", pa.string(), nullable=False),
    ],
    metadata={b"lift3d_ray.manifest": b"1"},
)


def now() -> str:
    """The present moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one row ended: an asset, or a failure with its reason.

    Attributes:
        key: the lift's key (``keys.lift_key``).
        name: what people call the row.
        source: where the picture was read from.
        picture_digest: hex digest of the picture's bytes (of its source where it could not be read).
        status: ``done`` or ``failed``, or ``parted`` of a picture whose things have outcomes for themselves.
        recipe: name of the recipe.
        quality: quality of the recipe.
        recipe_digest: digest of the recipe.
        bundle_digest: digest of the model bundle.
        run_seed: the run's seed.
        error_code: stable name of the failure; "" when done.
        error_message: the sentence for people; "" when done.
        selection: what was lifted of the picture, such as "auto", or "#2" for its second thing.
        thing: which of several things in the picture this is, counted from 1; 0 = its only one, or the picture itself.
        things: how many a parted picture holds, 0 otherwise.
        caption: what the subject is; "" when unknown.
        seed: the seed of this picture's lift, which repeats it; None where it never began.
        folder: the asset's folder, relative to the output folder; "" when failed.
        seconds: wall time of the whole row.
        stage_seconds: wall time by stage.
        metrics: figures about the asset.
        created_at: when it ended, ISO 8601 in UTC.
        run: the run that made it.
    """

    key: str
    name: str
    source: str
    picture_digest: str
    status: Status
    recipe: str
    quality: str
    recipe_digest: str
    bundle_digest: str
    run_seed: int
    error_code: str = ""
    error_message: str = ""
    selection: str = AUTOMATIC
    thing: int = 0
    things: int = 0
    caption: str = ""
    seed: int | None = None
    folder: str = ""
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    created_at: str = field(default_factory=now)
    run: str = ""

    def __post_init__(self) -> None:
        if self.status == "done" and not self.folder:
            raise ValueError(f"row {self.name!r} is done but names no folder")
        if self.status == "failed" and not self.error_code:
            raise ValueError(f"row {self.name!r} failed but names no error code")
        if (self.status == "parted") != (self.things > 0):
            raise ValueError(f"row {self.name!r} is {self.status} and counts {self.things} things")

    @property
    def picture_source(self) -> str:
        """Where the picture was read from, also of one of several things in it."""
        return self.source.removesuffix(f"#{self.thing}") if self.thing else self.source

    @property
    def is_final(self) -> bool:
        """Whether trying again cannot help: it is done, or the picture itself is at fault."""
        return self.status == "done" or self.error_code in input_codes()

    def is_open(self, *, run: str, retry_failed: bool) -> bool:
        """Whether this outcome leaves something for a run to try; that of a parted picture may always, in its things.

        Args:
            run: the run that asks; it does not try twice what it has recorded itself.
            retry_failed: try even what is final.
        """
        if self.status == "parted":
            return True
        if self.status == "done" or self.run == run:
            return False
        return retry_failed or not self.is_final

    def told_as(self, *, name: str, source: str) -> Outcome:
        """The same outcome as told for another input row that holds the same picture."""
        return replace(self, name=name, source=source)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=True)


def outcome_from_json(text: str) -> Outcome | None:
    """Read an outcome back.

    Returns:
        The outcome, or None where the text is not one: a row that was never written whole counts as not written.
    """
    names = {item.name for item in fields(Outcome)}
    try:
        values = json.loads(text)
        return Outcome(**{name: value for name, value in values.items() if name in names})
    except (ValueError, TypeError, AttributeError):
        return None


def input_codes() -> frozenset[str]:
    """Codes of failures that lie in the picture itself, and so would repeat."""

    def codes(kind: type[Lift3DError]) -> set[str]:
        return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))

    return frozenset(codes(InputError))


def to_table(outcomes: list[Outcome]) -> pa.Table:
    """The manifest of these rows, in ``MANIFEST_SCHEMA``."""
    return pa.Table.from_pylist([_manifest_row(outcome) for outcome in outcomes], schema=MANIFEST_SCHEMA)


def _manifest_row(outcome: Outcome) -> dict[str, Any]:
    row = asdict(outcome)
    for name in ("error_code", "error_message", "caption", "folder"):
        row[name] = row[name] or None
    row["stage_seconds"] = sorted(outcome.stage_seconds.items())
    row["metrics"] = sorted(outcome.metrics.items())
    row["created_at"] = datetime.fromisoformat(outcome.created_at)
    row.update({name: outcome.metrics.get(name) for name in METRIC_COLUMNS})
    return row
