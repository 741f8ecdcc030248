"""The row boundary: what goes wrong with one picture ends with that picture."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lift3d_ray.errors import Lift3DError
from lift3d_ray.store.schema import INTERNAL

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a row failed.

    Attributes:
        code: stable name.
        message: the sentence for people.
    """

    code: str
    message: str


def attempt(work: Callable[[], T]) -> T | Failure:
    """Do something for one row; whatever goes wrong is that row's failure.

    Errors of ours carry their own code. Anything else is a defect of this package: it is recorded as ``internal`` with
    the place and a digest of its traceback, which tells whether two rows met the same defect, and it makes the run's
    exit status 1, but one poisoned scene does not take the others with it.
    """
    try:
        return work()
    except Lift3DError as error:
        return Failure(code=error.code, message=str(error))
    except Exception as error:  # noqa: BLE001 - the row boundary, see above
        return Failure(code=INTERNAL, message=describe_defect(error))


def describe_defect(error: Exception) -> str:
    """One line: what was raised, where, and the digest of where it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    route = "\n".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}:{frame.lineno}" for frame in frames)
    digest = hashlib.sha256(f"{type(error).__name__}\n{route}".encode()).hexdigest()[:8]
    last = frames[-1] if frames else None
    place = f" at {last.filename.rsplit('/', 1)[-1]}:{last.lineno}" if last else ""
    return f"{type(error).__name__}: {error} [{digest}{place}]"
