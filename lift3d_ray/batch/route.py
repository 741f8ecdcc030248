"""What a run does with one picture, apart from how a cluster does it: the functions that the stages call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lift3d_ray.batch.resources import Share
from lift3d_ray.recipes import Recipe
from lift3d_ray.store.keys import Settings
from lift3d_ray.subject.select import AUTOMATIC, Selection
from lift3d_ray.types import Asset, MaskProposal, Perception, Progress

if TYPE_CHECKING:
    from lift3d_ray.export.result import Provenance

Report = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What every worker of a run knows.

    Attributes:
        run: the run's name.
        out: absolute address of the output folder.
        settings: what all keys of the run share.
        recipe: the recipe.
        bundle: name or folder of the model bundle.
        app_name: Serve application that holds the models.
        selection: what to lift of each picture.
        retry_failed: lift again what failed for good before.
        best_of: seeds that every picture is lifted under, the best lift kept.
        draws: the rows hold words, from which pictures are drawn.
        prompt: the subject in words, instead of the captioner's; None leaves it to the captioner.
    """

    run: str
    out: str
    settings: Settings
    recipe: Recipe
    bundle: str
    app_name: str
    selection: Selection = AUTOMATIC
    retry_failed: bool = False
    best_of: int = 1
    draws: bool = False
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Perceived:
    """A picture after the shared models have looked at it.

    Attributes:
        perception: what they said.
        photo_height_px: rows of the upright photo.
        photo_width_px: its columns.
        seconds: time it took.
    """

    perception: Perception
    photo_height_px: int
    photo_width_px: int
    seconds: float = 0.0


class Perceive(Protocol):
    """Bytes of a picture file -> what the models say about its subject, or about the one that is cut out already.

    Where the run draws its pictures, the bytes are the words to draw from.
    """

    def __call__(self, data: bytes, *, name: str, mask: MaskProposal | None = None) -> Perceived:
        """See the class."""
        ...


class Find(Protocol):
    """Bytes of a picture file -> all things in it that can be lifted, at least one."""

    def __call__(self, data: bytes, *, name: str) -> list[MaskProposal]:
        """See the class."""
        ...


class Optimize(Protocol):
    """What the models say about a picture -> an asset."""

    def __call__(self, perceived: Perceived, *, seed: int, report: Report) -> Asset:
        """See the class."""
        ...


class Write(Protocol):
    """An asset -> files in an empty local folder."""

    def __call__(self, asset: Asset, folder: Path, provenance: Provenance) -> object:
        """See the class."""
        ...


@dataclass(frozen=True, kw_only=True)
class Route:
    """How workers get the functions they call. Importable functions only: they are sent by name.

    Attributes:
        open_perceive: called once in a perceiver; connects to the models.
        open_find: the same, where every thing of a picture is lifted.
        open_optimize: called once in an optimizer; connects to the prior, loads the codec, takes its threads.
        write: writes an asset's files.
        needs_models: whether the Serve application has to run.
    """

    open_perceive: Callable[[RunContext], Perceive]
    open_find: Callable[[RunContext], Find]
    open_optimize: Callable[[RunContext, Share], Optimize]
    write: Write
    needs_models: bool = True


def provenance_of(context: RunContext, perceived: Perceived, *, name: str, digest: str, thing: int) -> Provenance:
    """Where an asset of a run comes from.

    Args:
        context: the run.
        perceived: its picture.
        name: of the picture.
        digest: of the picture's bytes.
        thing: which of all things in it; 0 where the run says by itself what to lift.
    """
    from lift3d_ray.export.result import Provenance

    return Provenance(
        photo_name=name,
        photo_digest=digest,
        photo_height_px=perceived.photo_height_px,
        photo_width_px=perceived.photo_width_px,
        recipe=context.settings.recipe,
        recipe_digest=context.settings.recipe_digest,
        bundle=context.bundle,
        bundle_digest=context.settings.bundle_digest,
        selection=Selection(thing=thing).text if thing else context.settings.selection,
    )
