"""Folders and files on any pyarrow filesystem, written so that a reader sees the whole file or none.

On a local disk a file is written under a temporary name and renamed. An object store shows a file only when its upload
has ended, so there a plain write does the same.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from lift3d_ray.errors import ConfigError

STAGING = ".staging"
"""Folder for what is not finished yet, under the root, where a rename stays on one disk."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder on some filesystem.

    Attributes:
        filesystem: the pyarrow filesystem.
        path: the folder's path on it.
        address: what the user called it.
    """

    filesystem: pafs.FileSystem
    path: str
    address: str

    @property
    def local(self) -> Path | None:
        """The folder on this machine's own filesystem, or None where it is elsewhere."""
        return Path(self.path) if isinstance(self.filesystem, pafs.LocalFileSystem) else None

    @property
    def absolute(self) -> str:
        """An address that means the same folder in any process, whatever its working directory."""
        return self.address if self.local is None else self.path

    def inside(self, relative: str) -> str:
        """Path on the filesystem of something in this folder."""
        return f"{self.path.rstrip('/')}/{relative}"

    def create(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: it cannot be made or is not a folder.
        """
        try:
            self.filesystem.create_dir(self.path, recursive=True)
            kind = self.filesystem.get_file_info(self.path).type
        except OSError as error:
            raise ConfigError(f"cannot make the output folder {self.address}: {error}; choose another --out") from error
        if kind == pafs.FileType.File:
            raise ConfigError(f"the output {self.address} is a file; --out needs a folder")

    def read(self, relative: str) -> bytes | None:
        """Bytes of a file, or None where there is none."""
        try:
            with self.filesystem.open_input_file(self.inside(relative)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, relative: str, data: bytes) -> None:
        """Write a file whole: readers see the old bytes or the new, never a part."""
        target = self.inside(relative)
        if self.local is None:
            self.filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
            with self.filesystem.open_output_stream(target) as stream:
                stream.write(data)
            return
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    def names(self, relative: str, suffix: str) -> list[str]:
        """Names of the files with this suffix right inside a folder; empty where there is no such folder."""
        selector = pafs.FileSelector(self.inside(relative), allow_not_found=True)
        try:
            found = self.filesystem.get_file_info(selector)
        except FileNotFoundError:
            return []  # taken away between the look whether it is there and the look into it
        return sorted(info.base_name for info in found if _is_a(info, suffix))


def _is_a(info: pafs.FileInfo, suffix: str) -> bool:
    return bool(info.type == pafs.FileType.File) and info.base_name.endswith(suffix)


@lru_cache(maxsize=64)
def open_folder(address: str) -> Folder:
    """Name a folder by path or URI (``s3://bucket/run``, ``gs://``, ``file://``).

    Raises:
        ConfigError: the URI cannot be understood, or its filesystem is not available.
    """
    if "://" not in address:
        return Folder(filesystem=pafs.LocalFileSystem(), path=os.path.abspath(address), address=address)
    try:
        filesystem, path = pafs.FileSystem.from_uri(address)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise ConfigError(f"cannot use {address}: {error}; give a path, or a URI such as s3://bucket/folder") from error
    return Folder(filesystem=filesystem, path=path, address=address)
