"""What requests may say. Nothing beside it: an unknown word is refused, not passed over."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lift3d_ray.errors import ConfigError
from lift3d_ray.recipes import RECIPES, Quality
from lift3d_ray.service.jobs import LONGEST_NAME, LONGEST_WORDS, MAX_SEED, MOST_SEEDS, LiftOrder
from lift3d_ray.subject.select import Selection
from lift3d_ray.subject.spoken import spoken_selection

MOST_POINTS = 64
MOST_SETTINGS = 64
_LONGEST_ADDRESS = 2048


def _plain(text: str) -> str:
    """Text that databases, logs and headers can hold."""
    if any(not letter.isprintable() for letter in text):
        raise ValueError("has letters that cannot be printed")
    return text


Plain = AfterValidator(_plain)
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1, max_length=LONGEST_WORDS), Plain]
Address = Annotated[str, Field(min_length=1, max_length=_LONGEST_ADDRESS), Plain]


class Body(BaseModel):
    """Base of what is sent here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pointing(Body):
    """What to lift of the picture; without anything, its main subject.

    Places are fractions of the upright picture: x from its left edge, y from its top.
    """

    points: list[tuple[Fraction, Fraction]] = Field(
        default_factory=list, max_length=MOST_POINTS, description="Clicks, each [x, y]."
    )
    labels: list[bool] = Field(
        default_factory=list,
        max_length=MOST_POINTS,
        description="One a click: true = on the subject, false = not on it; without any, all are on it.",
    )
    box: tuple[Fraction, Fraction, Fraction, Fraction] | None = Field(
        default=None, description="[left, top, right, bottom] of a box around the subject."
    )
    text: Words | None = Field(default=None, description="What it is, such as 'the blue mug'.")
    every: bool = Field(default=False, description="Every thing in the picture, an asset each.")
    thing: int = Field(default=0, ge=0, le=1000, description="That one of them, counted from 1.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Pointing:
        self.selection()
        return self

    def selection(self) -> Selection:
        """As the stages know it."""
        return Selection(
            points_xy_frac=tuple(self.points),
            labels=tuple(self.labels),
            box_xyxy_frac=self.box,
            words=self.text,
            every=self.every,
            thing=self.thing,
        )


def _pointing(value: Any) -> Any:
    """Short forms: ``auto``, ``all``, ``#2`` or words; an object written as text is read."""
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_WORDS and not value.lstrip().startswith("{"):
        raise ValueError(f"may have {LONGEST_WORDS} letters at most")
    if value.lstrip().startswith("{"):
        return Pointing.model_validate_json(value)
    said = spoken_selection(_plain(value))
    return Pointing(text=said.words, every=said.every, thing=said.thing)


Select = Annotated[
    Pointing,
    BeforeValidator(_pointing, json_schema_input_type=Pointing | str),
    Field(description="An object, or in short: 'auto', 'all', '#2' (the second thing) or words."),
]


class PictureBody(Body):
    """A picture, as JSON can name one."""

    picture_url: Address | None = Field(
        default=None, description="https://..., or s3:// and gs:// addresses that the service was told to read."
    )
    picture_data: str | None = Field(default=None, description="data:image/png;base64,... (or jpeg, webp, avif, ...)")
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), Plain] | None = Field(
        default=None, description="What people call the picture; its file name otherwise."
    )

    @property
    def address(self) -> str:
        """Where the picture is.

        Raises:
            ConfigError: nowhere, or in two places.
        """
        given = [address for address in (self.picture_url, self.picture_data) if address is not None]
        if len(given) != 1:
            raise ConfigError("give one of picture_url and picture_data, or send the picture itself as multipart")
        return given[0]


class SegmentBody(PictureBody):
    """``POST /v1/segment`` and ``POST /v1/caption``."""

    selection: Select = Pointing()


class Orders(Body):
    """How to lift, whatever the picture."""

    recipe: str | None = Field(
        default=None, max_length=100, description=f"One of {', '.join(sorted(RECIPES))}; the service has a default."
    )
    quality: Quality | None = Field(default=None, description="How long it may take; the service has a default.")
    settings: list[Annotated[str, Field(max_length=200), Plain]] = Field(
        default_factory=list, max_length=MOST_SETTINGS, description="Numbers of the recipe to exchange, name=value."
    )
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="The same seed gives the same asset.")
    selection: Select = Pointing()
    best_of: int = Field(default=1, ge=1, le=MOST_SEEDS, description="Lift under so many seeds and keep the best.")
    prompt: Words | None = Field(default=None, description="The subject in words, instead of the captioner's.")
    webhook: Address | None = Field(default=None, description="https://... to tell when the lift has ended.")


class LiftBody(Orders, PictureBody):
    """``POST /v1/lifts``."""

    def order(self, *, name: str, recipe: str, quality: str) -> LiftOrder:
        """As the job store knows it.

        Args:
            name: of the picture, where the body has none.
            recipe: the service's default.
            quality: the service's default.

        Raises:
            ConfigError: no such recipe or setting.
        """
        return LiftOrder(
            name=self.name or name,
            recipe=self.recipe or recipe,
            quality=str(self.quality or quality),
            settings=tuple(self.settings),
            seed=self.seed,
            selection=self.selection.selection(),
            best_of=self.best_of,
            prompt=self.prompt,
            webhook=self.webhook,
        )


class BatchForm(Orders):
    """``POST /v1/batches`` as a form beside a manifest: what all its lifts have in common."""

    def lift(self, *, picture_url: str | None = None, name: str | None = None) -> LiftBody:
        """The lift of one row."""
        common = {field: getattr(self, field) for field in Orders.model_fields}
        return LiftBody(**common, picture_url=picture_url, name=name)


class BatchBody(Body):
    """``POST /v1/batches``: lifts of many pictures, with what they have in common said once."""

    items: list[LiftBody] = Field(min_length=1, description="One lift each.")
