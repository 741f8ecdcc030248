"""From what the user named to rows: files, folders, globs and Parquet tables, here or on an object store.

Listing happens once, on the submitting side, and looks at names only. Bytes are read by ``read_unit``, wherever the
pipeline runs. A listing that cannot be made is an error of use; a picture that cannot be read is a row that failed.

Which files a *folder* gives: those with a picture's suffix, whatever they hold; others only if their first bytes are a
picture's; Parquet tables that have a picture column; never hidden files, nor the output folder. A file that is named,
or matched by a glob, is taken at the user's word.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.fs as pafs

from lift3d_ray.batch.tables import is_table, read_rows, table_units
from lift3d_ray.batch.units import InputUnit, RawPicture, read_file, source_of
from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.store.files import Folder, open_folder

PICTURE_SUFFIXES = frozenset({
    *("avif", "bmp", "dib", "gif", "heic", "heif", "ico", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg"),
    *("pbm", "pgm", "png", "pnm", "ppm", "tga", "tif", "tiff", "webp"),
})  # fmt: skip
_MAGIC = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\x00|MM\x00\*|....ftyp(avif|heic|heix|mif1)|\x00\x00\x00\x0cjP  ",
    re.S,
)
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What there is to read.

    Attributes:
        units: files and row groups, in order of name, each once.
        left_out: files in folders that are not pictures.
    """

    units: tuple[InputUnit, ...]
    left_out: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Input rows in all."""
        return sum(unit.rows for unit in self.units)


def list_inputs(inputs: Sequence[str], *, out: Folder | None = None) -> Listing:
    """List the rows of the inputs.

    Args:
        inputs: paths or URIs of files, folders, globs or Parquet tables.
        out: the output folder, never read as input.

    Raises:
        InputError: an input does not exist, matches nothing, cannot be listed, or gives no picture at all.
    """
    units: dict[tuple[str, int], InputUnit] = {}
    left_out: list[str] = []
    for address in inputs:
        for kind, found in _list_one(address, out):
            if kind == "left out":
                left_out.extend(unit.source for unit in found)
            else:
                units.update({(unit.source, unit.row_group): unit for unit in found})
    if not units:
        named = ", ".join(inputs) or "nothing"
        raise InputError(
            f"no pictures in {named} ({len(left_out)} other files); name pictures, a folder of them, a glob, or a "
            "Parquet table with a column bytes, image, path or uri"
        )
    return Listing(
        units=tuple(sorted(units.values(), key=lambda u: (u.name, u.source, u.row_group))), left_out=tuple(left_out)
    )


def read_unit(unit: InputUnit) -> Iterator[RawPicture]:
    """Read the rows of a unit. Nothing that is wrong with one row keeps the others from coming."""
    if unit.prompt:
        yield RawPicture(source=unit.source, name=unit.name, stamp=unit.stamp, data=unit.prompt.encode(), drawn=True)
        return
    if unit.column:
        yield from read_rows(unit)
        return
    try:
        data = read_file(open_folder(unit.address), unit.path, unit.source)
    except InputError as error:
        yield RawPicture(source=unit.source, name=unit.name, stamp=unit.stamp, error=error)
        return
    yield RawPicture(source=unit.source, name=unit.name, stamp=unit.stamp, data=data)


_Found = tuple[Literal["rows", "left out"], list[InputUnit]]


def _list_one(address: str, out: Folder | None) -> Iterator[_Found]:
    try:
        place = open_folder(address)
        kind = place.filesystem.get_file_info(place.path).type
        if kind == pafs.FileType.NotFound and _WILD.search(place.path):
            yield from _list_glob(place, out)
        elif kind == pafs.FileType.Directory:
            yield from _list_folder(place, place.path, out)
        elif kind == pafs.FileType.File:
            yield _take(place, place.filesystem.get_file_info(place.path), name=place.path.rsplit("/", 1)[-1])
        elif kind == pafs.FileType.NotFound:
            raise InputError(f"{address} does not exist; check the path")
        else:
            raise InputError(f"{address} is neither a file nor a folder; name a picture")
    except (OSError, ConfigError, pa.ArrowException) as error:
        raise InputError(f"cannot list {address}: {error}; check the path and its permissions") from error


def _list_glob(place: Folder, out: Folder | None) -> Iterator[_Found]:
    """Named pattern by pattern part, ``**`` for any number of folders; hidden files only where the pattern says so."""
    fixed = place.path[: _WILD.search(place.path).start()].rsplit("/", 1)[0] or "/"  # type: ignore[union-attr]
    pattern = place.path[len(fixed) :].strip("/").split("/")
    selector = pafs.FileSelector(fixed, recursive=len(pattern) > 1, allow_not_found=True)
    matched = [
        info
        for info in place.filesystem.get_file_info(selector)
        if _matches(info.path[len(fixed) :].strip("/").split("/"), pattern) and not _is_inside(info.path, place, out)
    ]
    if not matched:
        raise InputError(f"nothing matches {place.address}; quote the pattern if the shell should not expand it")
    for info in sorted(matched, key=lambda info: info.path):
        if info.type == pafs.FileType.Directory:
            yield from _list_folder(place, info.path, out)
        elif info.type == pafs.FileType.File:
            yield _take(place, info, name=info.base_name)


def _list_folder(place: Folder, folder: str, out: Folder | None) -> Iterator[_Found]:
    for info in place.filesystem.get_file_info(_below(place, folder)):
        name = info.path[len(folder) :].strip("/")
        hidden = any(part.startswith(".") for part in name.split("/"))
        if info.type == pafs.FileType.Directory or hidden or _is_inside(info.path, place, out):
            continue
        if info.type in (pafs.FileType.File, pafs.FileType.NotFound) and _belongs(place, info):
            yield _take(place, info, name=name)
        else:
            yield "left out", [_picture(place, info, name)]


def _below(place: Folder, folder: str) -> pafs.FileSelector | list[str]:
    """All that lies below a folder. Here, broken links are seen too, and a circle of links is walked once."""
    if place.local is None:
        return pafs.FileSelector(folder, recursive=True)
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(where))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(where, name)) not in seen]
        found += [os.path.join(where, name) for name in names]
    return found


def _take(place: Folder, info: pafs.FileInfo, *, name: str) -> _Found:
    if is_table(info.path):
        return "rows", table_units(place, info, name)
    return "rows", [_picture(place, info, name)]


def _picture(place: Folder, info: pafs.FileInfo, name: str) -> InputUnit:
    stamp = f"{info.size}:{info.mtime_ns}" if info.is_file else ""
    return InputUnit(address=place.address, path=info.path, name=name, source=source_of(place, info.path), stamp=stamp)


def _belongs(place: Folder, info: pafs.FileInfo) -> bool:
    """Whether a file of a folder is a picture, or a table of pictures, by its name or else by its first bytes."""
    if info.extension.lower() in PICTURE_SUFFIXES:
        return True
    try:
        if is_table(info.path):
            return bool(table_units(place, info, info.base_name))
        with place.filesystem.open_input_file(info.path) as stream:
            return _MAGIC.match(stream.read(16)) is not None
    except (InputError, OSError):
        return False


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_inside(path: str, place: Folder, out: Folder | None) -> bool:
    if out is None or type(out.filesystem) is not type(place.filesystem):
        return False
    return path == out.path or path.startswith(out.path.rstrip("/") + "/")
