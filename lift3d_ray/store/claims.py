"""Claims: two runs into one folder at once share the work instead of doing it twice.

On a local disk (or a shared one with working locks) a lift holds a kernel lock on ``ledger/claims/<key>.lock``. The
kernel drops the lock with the process, however it dies, so a claim never outlives its owner and needs no clock.
Elsewhere, on object stores, nothing is claimed: both runs may lift the same picture, each into a folder of its own, and
the last ledger row wins; both results are whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lift3d_ray.store.files import Folder

CLAIMS = "ledger/claims"
_NO_LOCKS_HERE = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def claim(folder: Folder, key: str) -> Iterator[bool]:
    """Hold the right to lift a key.

    Yields:
        True while the claim is held (or where the filesystem has no locks); False where another process holds it.
    """
    if folder.local is None:
        yield True
        return
    path = folder.local / CLAIMS / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock(path)
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(handle)


def _lock(path: Path) -> int | None:
    """File descriptor that holds the lock, or None where another holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as error:
            if error.errno in _NO_LOCKS_HERE:
                return handle
            os.close(handle)
            raise
        # The previous owner unlinks before it lets go: a lock on a file that is no longer there is worth nothing.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)
