"""Putting an asset's folder in place, whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.fs as pafs

from lift3d_ray.errors import ExportError
from lift3d_ray.store.claims import CLAIMS, claim
from lift3d_ray.store.files import STAGING, Folder

ASSETS = "assets"
_SWAPS = 5


def publish(folder: Folder, name: str, key: str, write: Callable[[Path], object]) -> str:
    """Write an asset's files aside, then put its folder in place in one step.

    On a local disk the step is a rename, and an unfinished or unrecorded folder of the same name is replaced. On an
    object store the folder gets a name of its own for every attempt, and is known only once the ledger names it.

    Args:
        folder: the run's output folder.
        name: name of the asset's folder (``keys.folder_name``).
        key: the lift's key, whose claim the caller holds.
        write: writes the files into an empty folder on this machine.

    Returns:
        The asset's folder, relative to the output folder.

    Raises:
        ExportError: the files could not be put in place (disk full, no permission, store unreachable).
    """
    try:
        if folder.local is not None:
            return _publish_by_rename(folder.local, name, key, write)
        return _publish_by_upload(folder, name, write)
    except OSError as error:
        raise ExportError(
            f"cannot write {name} under {folder.address}: {error}; check space and permissions"
        ) from error


def _publish_by_rename(root: Path, name: str, key: str, write: Callable[[Path], object]) -> str:
    staging = root / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    (root / ASSETS).mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=staging))
    try:
        write(work)
        work.chmod(0o755)
        _swap_in(work, root / ASSETS / name, staging / f"{key}.{secrets.token_hex(4)}.old")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return f"{ASSETS}/{name}"


def _swap_in(work: Path, target: Path, aside: Path) -> None:
    """Rename ``work`` to ``target``, moving ``aside`` what a run left there without recording it."""
    for _ in range(_SWAPS):
        try:
            os.rename(work, target)
            return
        except OSError as error:
            if not target.is_dir():
                raise
            refused = error
        try:
            os.rename(target, aside)
        except FileNotFoundError:
            continue
        shutil.rmtree(aside, ignore_errors=True)
    raise refused


def _publish_by_upload(folder: Folder, name: str, write: Callable[[Path], object]) -> str:
    relative = f"{ASSETS}/{name}-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="lift3d-") as work:
        write(Path(work))
        folder.filesystem.create_dir(folder.inside(relative), recursive=True)
        pafs.copy_files(
            work,
            folder.inside(relative),
            source_filesystem=pafs.LocalFileSystem(),
            destination_filesystem=folder.filesystem,
        )
    return relative


def sweep(folder: Folder) -> None:
    """Delete what killed runs left behind, staged folders and claims; what a living run holds stays."""
    if folder.local is None:
        return
    staging, claims = folder.local / STAGING, folder.local / CLAIMS
    for entry in staging.iterdir() if staging.is_dir() else ():
        with claim(folder, entry.name.split(".")[0]) as free:
            if free:
                shutil.rmtree(entry, ignore_errors=True)
    for lock in claims.glob("*.lock"):
        with claim(folder, lock.stem):
            pass  # letting go of a claim takes its file away
    with suppress(OSError):
        staging.rmdir()
