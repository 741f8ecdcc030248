"""From a file of prompts to rows: one prompt a line, blank lines and lines that begin with # left out."""

from __future__ import annotations

import posixpath

from lift3d_ray.batch.inputs import Listing
from lift3d_ray.batch.units import InputUnit, read_file, source_of
from lift3d_ray.errors import ConfigError, InputError, UnreadablePhoto
from lift3d_ray.store.files import open_folder

MOST_LETTERS = 400
"""Longer lines are no prompts: text encoders read some 77 tokens."""


def list_prompts(address: str) -> Listing:
    """List the prompts of a text file, in the order of its lines.

    Args:
        address: path or URI of a UTF-8 text file.

    Raises:
        InputError: it cannot be read, is no text, holds no prompt, or a line is too long to be one.
    """
    parent, _, name = address.rpartition("/")
    try:
        place = open_folder(parent or ("/" if address.startswith("/") else "."))
        path = place.inside(name)
        text = read_file(place, path, address).decode("utf-8-sig")
    except (UnreadablePhoto, ConfigError, OSError) as error:
        raise InputError(f"cannot read the prompts in {address}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{address} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    source = source_of(place, posixpath.normpath(path))
    units = []
    for number, line in enumerate(text.splitlines(), start=1):
        prompt = " ".join(line.split())
        if not prompt or prompt.startswith("#"):
            continue
        if len(prompt) > MOST_LETTERS or not prompt.isprintable():
            raise InputError(
                f"line {number} of {address} is no prompt; wanted at most {MOST_LETTERS} printable letters"
            )
        units.append(
            InputUnit(
                address=place.address, path=path, name=prompt, source=f"{source}#{number}", stamp="", prompt=prompt
            )
        )
    if not units:
        raise InputError(
            f"no prompt in {address}: wanted one a line, such as 'a red mug'; lines that begin with # do not count"
        )
    return Listing(units=tuple(units))
