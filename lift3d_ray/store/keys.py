"""Names by content: what identifies a lift, and what follows from that identity.

A lift is the same work exactly when the picture's bytes, the recipe, the model bundle, the code's stage version, the
seed and the selection are the same. Its key digests those and nothing else: no position, no shard, no file name. A
renamed picture is therefore not lifted again, and a changed recipe is new work beside the old.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

STAGE_VERSION = 3
"""Version of what the stages compute. Raise it when the same inputs should be lifted anew by newer code."""

AUTOMATIC = "auto"
"""The selection of a picture whose subject nobody pointed at."""

KEY_LENGTH = 40
"""Hex digits of a key: 160 bits, beyond any chance of a collision in one dataset."""


def picture_digest(data: bytes) -> str:
    """Hex SHA-256 of a picture file's bytes: the picture's identity, as in ``Photo.digest``."""
    return hashlib.sha256(data).hexdigest()


def source_digest(source: str, stamp: str) -> str:
    """Identity of a row whose bytes could not be read: where it is said to be, and its size and time if known."""
    return hashlib.sha256(f"unread\n{source}\n{stamp}".encode()).hexdigest()


def prompt_digest(prompt: str) -> str:
    """Identity of a picture that is drawn from words: of the words. How it is drawn is part of the stages."""
    return hashlib.sha256(f"prompt\n{' '.join(prompt.split())}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all lifts of one run share.

    Attributes:
        recipe: name of the recipe, for people.
        quality: quality of the recipe, for people.
        recipe_digest: digest of all that the recipe says.
        bundle_digest: digest of the model bundle.
        run_seed: the run's seed.
        selection: how subjects are pointed at.
        best_of: seeds that every picture is lifted under, the best lift kept.
    """

    recipe: str
    quality: str
    recipe_digest: str
    bundle_digest: str
    run_seed: int
    selection: str = AUTOMATIC
    best_of: int = 1

    def key(self, picture: str, selection: str | None = None) -> str:
        """The key of one picture's lift, ``KEY_LENGTH`` hex digits.

        Args:
            picture: ``picture_digest`` of the bytes, or ``source_digest`` where there are none.
            selection: what is lifted of it, where the run's own selection is of several things.
        """
        parts = {
            "bundle": self.bundle_digest,
            "picture": picture,
            "recipe": self.recipe_digest,
            "seed": self.run_seed,
            "selection": selection or self.selection,
            "stages": STAGE_VERSION,
            # Named only where it makes a difference, so that plain lifts keep their keys.
            **({"best_of": self.best_of} if self.best_of > 1 else {}),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def picture_seed(run_seed: int, picture: str, thing: int = 0) -> int:
    """The seed of one picture's lift, in [0, 2**32): the same however many workers share the run.

    Args:
        run_seed: the seed of the whole run.
        picture: the picture's digest.
        thing: which of several things in it, counted from 1; the first is its main subject and has the same seed.
    """
    named = f"{picture}#{thing - 1}" if thing > 1 else picture
    return int.from_bytes(hashlib.sha256(f"{run_seed}:{named}".encode()).digest()[:4], "big")


def candidate_seeds(seed: int, count: int) -> list[int]:
    """Seeds for several lifts of one picture, each in [0, 2**32); the first is the picture's own.

    Args:
        seed: ``picture_seed``.
        count: how many.
    """
    others = [hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4] for number in range(1, count)]
    return [seed, *(int.from_bytes(other, "big") for other in others)]


def folder_name(name: str, key: str) -> str:
    """A folder name that people recognise and that never clashes: ``cat-1f2e3d4c5b6a``.

    Args:
        name: the row's name; only its last part without suffix is used.
        key: the lift's key.
    """
    return f"{_stem(name)}-{key[:12]}"


def thing_folder_name(name: str, thing: int, caption: str, key: str) -> str:
    """The folder of one of several things in a picture, after its words: ``desk-02-a-blue-mug-1f2e3d4c5b6a``.

    Args:
        name: the picture's name.
        thing: which thing, counted from 1.
        caption: what it is.
        key: the lift's key.
    """
    return f"{_stem(name)}-{thing:02d}-{slug(caption)}-{key[:12]}"


def _stem(name: str) -> str:
    return slug(re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name.rstrip("/").rsplit("/", 1)[-1]))


def slug(words: str) -> str:
    """Words as part of a folder's name, at most 40 letters, digits and dashes: "A blue Mug!" becomes a-blue-mug."""
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower()[:40].strip("-") or "picture"
