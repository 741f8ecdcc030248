"""Subject -> words, and the words about the thing apart from the words about the view."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from lift3d_ray.conditioning.keyword import holds_keyword, with_keyword
from lift3d_ray.conditioning.prompts import View
from lift3d_ray.models.roles import Captioner, ImageTextEncoder
from lift3d_ray.recipes import CaptionConfig
from lift3d_ray.types import Photo, Subject

UNNAMED = "an object"
"""What a thing is called when the captioner said nothing about it."""

# BLIP's opening and closing oddities. The white ground is ours, not the picture's: Make-It-3D replaces the words, here
# they go altogether. "arafed" (in many spellings) is a word that BLIP-large invents.
_ODDITIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\barr?af+f?e?d?\b", ""),
        (r"^\s*(?:there (?:is|are)|this is|it is|here is)\s+", ""),
        (
            r"^(?:an? |the )?(?:extreme(?:ly)? |very )?"
            r"(?:close[- ]?up|photo(?:graph)?|picture|image|3d (?:render(?:ing)?|model)|render(?:ing)?)"
            r"(?: (?:photo(?:graph)?|view|shot|image|picture))? of ",
            "",
        ),
        (
            r",?(?: that is| which is)?(?: (?:sitting|standing|lying|laying|placed|shown|isolated|set))?"
            r" (?:on|with|against|in front of|over|in|and) (?:an? |the )?(?:plain |pure |solid |clean |bright )*"
            r"(?:white|black|gr[ae]y|blank|plain) (?:back ?(?:ground|drop)|surface)\b",
            "",
        ),
        (r",? (?:white|black) back ?ground\b", ""),
        (r"\b(\w+(?: \w+){0,3})(?: \1\b)+", r"\1"),
    )
)

_SIDES = {
    View.FRONT: "front",
    View.SIDE: "side",
    View.BACK: "back|rear|behind",
    View.TOP: "top|above|overhead|aerial",
}
_SIDE = "|".join(f"(?P<{view.value}>{words})" for view, words in _SIDES.items())
_VIEW_PHRASES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^(?P<thing>.+?),? (?:(?:seen |viewed |shown )?(?:from|in) )?(?:the |an? )?(?:{_SIDE}) view$",
        rf"^(?:the |an? )?(?:{_SIDE}) view of (?P<thing>.+)$",
        rf"^(?P<thing>.+?),? (?:seen |viewed |shown )?from (?:the )?(?:{_SIDE})$",
        rf"^the (?:{_SIDE}) of (?P<thing>.+)$",
    )
)


def describe(subject: Subject, captioner: Captioner) -> str:
    """Puts a subject into words.

    Args:
        subject: the cut-out; it is shown to the captioner over white.
        captioner: BLIP or alike.

    Returns:
        A cleaned, lower-case phrase such as "a red mug with white stripes", ending in ", side view" (front, back, top)
        where the captioner named the view. Never empty.
    """
    return _in_order(captioner.caption(subject.over(1.0)))


def describe_best(
    subject: Subject,
    captioner: Captioner,
    clip: ImageTextEncoder,
    config: CaptionConfig,
    *,
    seed: int,
    keyword: str | None = None,
) -> str:
    """Puts a subject into the words that agree best with its picture, of several that a captioner has for it.

    Args:
        subject: the cut-out; both models see it over white.
        captioner: BLIP or alike; its most likely caption is the first candidate.
        clip: says how well picture and words agree.
        config: how many candidates, and how freely they are drawn.
        seed: of the draws.
        keyword: what it is in one word: captions that hold it are preferred, and it is put before one that does not.

    Returns:
        As of ``describe``.

    Raises:
        ConfigError: the keyword is not a single word.
    """
    picture = subject.over(1.0)
    said = [captioner.caption(picture)]
    if config.candidates > 1:
        said += captioner.sample_captions(picture, config.candidates - 1, nucleus=config.nucleus, seed=seed)
    candidates = list(dict.fromkeys(_in_order(text) for text in said))
    if keyword is not None:
        holding = [text for text in candidates if holds_keyword(text, keyword)]
        candidates = holding or [with_keyword(candidates[0], keyword)]
    if len(candidates) == 1:
        return candidates[0]
    agreement = clip.encode_texts(candidates) @ clip.encode_images(picture[None])[0]
    return candidates[int(np.argmax(agreement))]


def caption_of(
    photo: Photo, subject: Subject, captioner: Captioner, clip: ImageTextEncoder, config: CaptionConfig
) -> str:
    """``describe_best`` of a photo's subject: the same photo gets the same words, whatever the lift's own seed."""
    seed = int.from_bytes(hashlib.sha256(photo.digest.encode()).digest()[:4], "big")
    return describe_best(subject, captioner, clip, config, seed=seed)


def _in_order(text: str) -> str:
    thing, view = split_view(clean_caption(text))
    return thing if view is None else f"{thing}, {view.value} view"


def clean_caption(text: str) -> str:
    """Frees a caption from what captioners say about pictures rather than things.

    Gone are openings ("there is", "a close up of"), the white or black background, stuttered and invented words.

    Args:
        text: what the captioner said.

    Returns:
        Lower case, single spaces, no full stop; "an object" where nothing is left.
    """
    text = " ".join(text.lower().split())
    for pattern, replacement in _ODDITIES:
        text = " ".join(pattern.sub(replacement, text).split())
    text = re.sub(r"\s+,", ",", text).strip(" .,;:")
    return UNNAMED if text in ("", "a", "an", "the") else text


def split_view(caption: str) -> tuple[str, View | None]:
    """Parts a caption into the thing and the view of it.

    Understands "a car, side view", "side view of a car", "a car seen from behind", "the back of a car".

    Args:
        caption: cleaned words.

    Returns:
        The words about the thing, and the view, or None where none is named.
    """
    for pattern in _VIEW_PHRASES:
        match = pattern.match(caption)
        if match:
            view = next(view for view in View if match.group(view.value))
            return match.group("thing").strip(" ,"), view
    return caption, None
