"""The one word of a caption that says what the thing is: the noun that the rest is about."""

from __future__ import annotations

import re

from lift3d_ray.errors import ConfigError

_OPENING = frozenset(["a", "an", "the", "some", "one", "two", "three", "this", "that"])
# What follows these says more about the thing, or about something else.
_CLOSING = frozenset({
    *("with", "without", "on", "in", "inside", "at", "of", "from", "by", "for", "to", "that", "which"),
    *("who", "under", "over", "near", "next", "beside", "behind", "against", "made", "holding", "wearing", "sitting"),
    *("standing", "lying", "is", "are", "has"),
})  # fmt: skip
# These part two things, as in "a dog and a cat", or join what is said of one: "a red and white cup".
_JOINING = frozenset({"and", "or"})
_PARTS = re.compile(r"[^\s,.;:()<>]+|[,.;:()]")


def find_keyword(caption: str) -> str:
    """The last word of a caption's first noun phrase: "mug" of "a red mug with white stripes".

    Args:
        caption: the thing in words, without its view phrase.

    Returns:
        One word of the caption.

    Raises:
        ConfigError: there is no word in it.
    """
    parts: list[str] = _PARTS.findall(caption)
    found = ""
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        closes = part.lower() in _CLOSING or part in ",.;:()"
        if part.lower() in _JOINING:
            if following.lower() not in _OPENING:
                continue
            closes = True
        if found and closes:
            break
        if not closes and part.lower() not in _OPENING:
            found = part
    if found:
        return found
    words = [part for part in parts if part not in ",.;:()"]
    if not words:
        raise ConfigError(f"wanted a caption with a word in it, got {caption!r}")
    return words[-1]


def with_keyword(caption: str, keyword: str) -> str:
    """A caption that holds the keyword: itself, or with the keyword before it, as Anything-3D does.

    Raises:
        ConfigError: the keyword is not a single word.
    """
    if not re.fullmatch(r"[^\s,.;:()<>]+", keyword):
        raise ConfigError(f"a keyword is a single word, got {keyword!r}")
    return caption if holds_keyword(caption, keyword) else f"{keyword}, {caption}"


def holds_keyword(caption: str, keyword: str) -> bool:
    """Whether a caption says the keyword, as a word of its own."""
    return _as_word(keyword).search(caption) is not None


def replace_keyword(caption: str, keyword: str, word: str) -> str:
    """The caption with another word where the keyword first stands."""
    return _as_word(keyword).sub(lambda _: word, caption, count=1)


def _as_word(keyword: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(keyword)}(?![\w-])", re.IGNORECASE)
