"""Photo -> the mask that is the subject: by the photo's own transparency, a click, a box, words, or automatically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lift3d_ray.errors import BundleError, ConfigError, NoSubject
from lift3d_ray.models.roles import ImageTextEncoder, Segmenter
from lift3d_ray.subject.backdrop import sharpen
from lift3d_ray.subject.cutout import MAX_COVER, cutout_mask
from lift3d_ray.subject.drawn import ink_mask
from lift3d_ray.subject.masks import bounding_box
from lift3d_ray.subject.words import closest_to
from lift3d_ray.types import Bool, MaskProposal, Photo, SegmentQuery

MIN_COVER = 0.002
"""Least part of the picture that a subject covers."""
MIN_SUBJECT_PX = 12
"""Least longer side of a subject, pixels of the working picture."""
_FLAT_LEVELS = 2
_CLICK_REACH_PX = 2
_NESTED = 0.5
"""A mask of which more than this lies in another is a part of that one's thing."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a person pointed at, in fractions of the upright picture: it holds at every working size.

    Without points, box and words the choice is automatic.

    Attributes:
        points_xy_frac: clicks, x from the left and y from the top, each in [0, 1].
        labels: one a click, True = on the subject, False = not on it; empty means that all are on it.
        box_xyxy_frac: left, top, right, bottom of a box around the subject, each in [0, 1].
        words: what it is, such as "the blue mug", instead of points and box.
        every: every thing in the picture, each for itself.
        thing: that one of them, counted from 1; 0 = not chosen by number.
    """

    points_xy_frac: tuple[tuple[float, float], ...] = ()
    labels: tuple[bool, ...] = ()
    box_xyxy_frac: tuple[float, float, float, float] | None = None
    words: str | None = None
    every: bool = False
    thing: int = 0

    def __post_init__(self) -> None:
        if self.labels and len(self.labels) != len(self.points_xy_frac):
            raise ConfigError(f"a selection needs one label a point: {len(self.points_xy_frac)} points, {self.labels}")
        if self.words is not None and (self.points_xy_frac or self.box_xyxy_frac or not self.words.strip()):
            raise ConfigError(f"a selection is by words, or by points and a box; got {self}")
        if self.thing < 0:
            raise ConfigError(f"things of a picture are counted from 1, got {self.thing}")
        if (self.is_pointed or self.words is not None) + self.every + bool(self.thing) > 1:
            raise ConfigError(
                f"a selection is of every thing, of one by its number, or by what it is or where; got {self}"
            )
        if self.points_xy_frac and self.box_xyxy_frac is None and not any(self.point_labels):
            raise ConfigError("a selection of negative points alone says nothing; add a point on the subject or a box")
        box = self.box_xyxy_frac or ()
        if not all(0 <= value <= 1 for value in (*box, *(v for point in self.points_xy_frac for v in point))):
            raise ConfigError(
                "points and boxes are given in fractions of the picture, 0 to 1 from its left and top edge; got "
                f"points {self.points_xy_frac}, box {self.box_xyxy_frac} (for pixels use Selection.from_pixels)"
            )
        if box and not (box[0] < box[2] and box[1] < box[3]):
            raise ConfigError(f"a box is (left, top, right, bottom) with left < right and top < bottom, got {box}")

    @classmethod
    def from_pixels(
        cls,
        *,
        width_px: int,
        height_px: int,
        points_xy_px: Sequence[tuple[float, float]] = (),
        labels: tuple[bool, ...] = (),
        box_xyxy_px: tuple[float, float, float, float] | None = None,
    ) -> Selection:
        """A selection given in pixels of the upright picture as it was sent, of this width and height."""
        if width_px < 1 or height_px < 1:
            raise ConfigError(f"a picture has a positive size, got {width_px} x {height_px}")
        box = box_xyxy_px
        return cls(
            points_xy_frac=tuple((x / width_px, y / height_px) for x, y in points_xy_px),
            labels=labels,
            box_xyxy_frac=None
            if box is None
            else (box[0] / width_px, box[1] / height_px, box[2] / width_px, box[3] / height_px),
        )

    @property
    def is_pointed(self) -> bool:
        """Whether somebody pointed at a place in the picture."""
        return bool(self.points_xy_frac) or self.box_xyxy_frac is not None

    @property
    def point_labels(self) -> tuple[bool, ...]:
        """One label a point, also where none were given."""
        return self.labels or (True,) * len(self.points_xy_frac)

    @property
    def text(self) -> str:
        """The selection as text that names it among others: "auto" where nobody chose."""
        if self.every or self.thing:
            return f"#{self.thing}" if self.thing else "all"
        if self.words is not None:
            return f"words: {' '.join(self.words.lower().split())}"
        return "auto" if not self.is_pointed else f"points {self.points_xy_frac} {self.labels} box {self.box_xyxy_frac}"

    def query(self, photo: Photo) -> SegmentQuery:
        """The selection as a question about one photo, in its pixels."""
        height, width = photo.rgb_HWC.shape[:2]
        box = self.box_xyxy_frac
        return SegmentQuery(
            rgb_HWC=photo.rgb_HWC,
            points_xy_px=tuple(
                (min(x * width, width - 1.0), min(y * height, height - 1.0)) for x, y in self.points_xy_frac
            ),
            labels=self.point_labels,
            box_xyxy_px=None if box is None else (box[0] * width, box[1] * height, box[2] * width, box[3] * height),
        )


AUTOMATIC = Selection()
"""The main subject, whatever it is."""

EVERY = Selection(every=True)
"""Every thing in the picture."""


def select_subject(
    photo: Photo,
    segmenter: Segmenter,
    selection: Selection = AUTOMATIC,
    encoder: ImageTextEncoder | None = None,
) -> MaskProposal:
    """Chooses the subject of a photo.

    Args:
        photo: the picture.
        segmenter: asked unless the photo is a cut-out and nobody pointed at anything.
        selection: what a person pointed at, or the words for it.
        encoder: finds the words' thing among the proposals.

    Returns:
        The first of the segmenter's proposals that can be lifted, or that nearest to the words; for a cut-out its own
        mask with score 1.

    Raises:
        NoSubject: nothing plausible was found; the message says what was wrong with the best proposal.
        BundleError: the segmenter answered with a mask of another size than the picture's.
        ConfigError: words without an encoder, or every thing, which is no single subject.
    """
    if selection.every:
        raise ConfigError("every thing of a picture is no single subject; ask every_subject for them")
    if selection.thing:
        return _numbered(every_subject(photo, segmenter), selection.thing, photo.name)
    found = _drawn_masks(photo, segmenter) if photo.drawn else liftable_masks(photo, segmenter, selection)
    chosen = found[0]
    if selection.words is not None:
        if encoder is None:
            raise ConfigError("to select by words, an encoder of pictures and sentences is needed")
        chosen = closest_to(selection.words, photo, found, encoder)
    return _sharpened(chosen, photo, selection)


def every_subject(photo: Photo, segmenter: Segmenter) -> list[MaskProposal]:
    """All things in a photo that can be lifted, the main one first; parts of a thing are not told beside it.

    Raises:
        NoSubject: there is none.
        BundleError: as of ``select_subject``.
    """
    kept: list[MaskProposal] = []
    for mask in liftable_masks(photo, segmenter, AUTOMATIC):
        if all((mask.mask_HW & other.mask_HW).sum() <= _NESTED * mask.mask_HW.sum() for other in kept):
            kept.append(mask)
    return [_sharpened(mask, photo, AUTOMATIC) for mask in kept]


def _drawn_masks(photo: Photo, segmenter: Segmenter) -> list[MaskProposal]:
    """Of a drawing before white, what is not white where the segmenter finds nothing."""
    try:
        return liftable_masks(photo, segmenter, AUTOMATIC)
    except NoSubject:
        ink = ink_mask(photo)
        objection = _objection(ink.mask_HW, photo, AUTOMATIC)
        if objection is not None:
            raise NoSubject(f"{photo.name}: what was drawn {objection}; try another seed, or other words") from None
        return [ink]


def _numbered(things: Sequence[MaskProposal], number: int, name: str) -> MaskProposal:
    if number > len(things):
        raise NoSubject(f"{name}: thing {number} was asked for, of {len(things)} that stand out; ask for one of those")
    return things[number - 1]


def liftable_masks(photo: Photo, segmenter: Segmenter, selection: Selection) -> list[MaskProposal]:
    """The proposals that can be lifted, best first; arguments and errors as of ``select_subject``."""
    own_HW = None if selection.is_pointed else cutout_mask(photo)
    if own_HW is not None:
        proposals, origin = [MaskProposal(mask_HW=own_HW, score=1.0)], "the cut-out"
    else:
        if np.ptp(photo.rgb_HWC.reshape(-1, 3), axis=0).max() <= _FLAT_LEVELS:
            raise NoSubject(f"{photo.name}: one colour throughout; wanted a subject that stands out")
        proposals, origin = segmenter.segment(selection.query(photo)), "the best proposal"
    found, objection = [], "nothing stands out"
    for index, proposal in enumerate(proposals):
        if proposal.mask_HW.shape != photo.rgb_HWC.shape[:2]:
            raise BundleError(
                f"the segmenter answered with a mask of shape {proposal.mask_HW.shape} for a picture of shape "
                f"{photo.rgb_HWC.shape[:2]}; wanted them equal; check the segmenter of the bundle"
            )
        why_not = _objection(proposal.mask_HW, photo, selection)
        if why_not is None:
            found.append(proposal)
        elif index == 0:
            objection = f"{origin} {why_not}"
    if not found:
        advice = "crop the picture closer, or point at the subject by a click or box"
        raise NoSubject(f"{photo.name}: {objection}; {advice}")
    return found


def _sharpened(proposal: MaskProposal, photo: Photo, selection: Selection) -> MaskProposal:
    """Made exact before a plain backdrop; a person who points may well mean a part, and a cut-out is exact."""
    if selection.is_pointed or cutout_mask(photo) is not None:
        return proposal
    exact = replace(proposal, mask_HW=sharpen(proposal.mask_HW, photo.rgb_HWC))
    return exact if _objection(exact.mask_HW, photo, selection) is None else proposal


def _objection(mask_HW: Bool, photo: Photo, selection: Selection) -> str | None:
    """What speaks against a mask, to follow "the proposal", or None when it can be lifted."""
    cover = float(mask_HW.mean())
    if cover == 0:
        return "is empty"
    x0, y0, x1, y1 = bounding_box(mask_HW)
    if max(x1 - x0, y1 - y0) < MIN_SUBJECT_PX:
        return f"is only {x1 - x0} x {y1 - y0} pixels; a subject needs {MIN_SUBJECT_PX} on its longer side"
    if not MIN_COVER <= cover <= MAX_COVER:
        return f"covers {cover:.2%} of the picture; a subject covers {MIN_COVER:.1%} to {MAX_COVER:.0%}"
    if not selection.is_pointed:
        corners = mask_HW[[0, 0, -1, -1], [0, -1, 0, -1]]
        return "reaches all four corners, as a background does" if corners.all() else None
    return _disagreement(mask_HW, selection.query(photo))


def _disagreement(mask_HW: Bool, query: SegmentQuery) -> str | None:
    """How a mask fails to answer the clicks and the box, or None."""
    reach = _CLICK_REACH_PX
    hits = [
        mask_HW[max(0, int(y) - reach) : int(y) + reach + 1, max(0, int(x) - reach) : int(x) + reach + 1].any()
        for (x, y), positive in zip(query.points_xy_px, query.labels, strict=True)
        if positive
    ]
    if hits and not any(hits):
        return "lies beside the clicked point"
    if query.box_xyxy_px is not None:
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in query.box_xyxy_px)
        if mask_HW[y0:y1, x0:x1].sum() < 0.5 * mask_HW.sum():
            return "lies mostly outside the box"
    return None
