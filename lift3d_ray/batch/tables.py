"""Pictures in Parquet tables: a column of bytes, of structs that hold bytes, or of paths."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from lift3d_ray.batch.units import InputUnit, RawPicture, read_file, source_of
from lift3d_ray.errors import ConfigError, InputError, UnreadablePhoto
from lift3d_ray.store.files import Folder, open_folder

PICTURE_COLUMNS = ("bytes", "image", "path", "uri")
"""Columns that may hold the pictures, in order of preference."""

NAME_COLUMNS = ("name", "id")
"""Columns that may hold what people call a row."""

_ROWS_AT_ONCE = 8


def is_table(path: str) -> bool:
    """Whether a file is read as a Parquet table."""
    return path.lower().endswith((".parquet", ".pq"))


def table_units(place: Folder, info: pafs.FileInfo, name: str) -> list[InputUnit]:
    """The row groups of a table.

    Raises:
        InputError: it is not a Parquet file, or has no picture column.
    """
    source = source_of(place, info.path)
    try:
        with place.filesystem.open_input_file(info.path) as stream:
            file = pq.ParquetFile(stream)
            schema = file.schema_arrow
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{source} cannot be read as a Parquet table: {error}") from error
    column = next((c for c in PICTURE_COLUMNS if c in schema.names and _holds_pictures(schema.field(c).type)), None)
    if column is None:
        raise InputError(
            f"{source} has the columns {', '.join(schema.names) or 'none'}; wanted pictures in one of "
            f"{', '.join(PICTURE_COLUMNS)} (bytes, structs with bytes, or paths)"
        )
    stamp = f"{info.size}:{info.mtime_ns}"
    return [
        InputUnit(
            address=place.address,
            path=info.path,
            name=name,
            source=source,
            stamp=stamp,
            column=column,
            row_group=group,
            first_row=sum(sizes[:group]),
            rows=size,
        )
        for group, size in enumerate(sizes)
        if size
    ]


def read_rows(unit: InputUnit) -> Iterator[RawPicture]:
    """Read a row group row by row. Rows that a damaged file does not give any more are rows that failed."""
    place = open_folder(unit.address)
    row = unit.first_row
    failure = f"{unit.source} ended early"
    try:
        with place.filesystem.open_input_file(unit.path) as stream:
            file = pq.ParquetFile(stream)
            columns = [unit.column, *(c for c in NAME_COLUMNS if c in file.schema_arrow.names)]
            batches = file.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[unit.row_group], columns=columns)
            for batch in batches:
                for values in batch.to_pylist():
                    yield _read_row(place, unit, row, values)
                    row += 1
    except (OSError, pa.ArrowException) as error:
        failure = f"cannot read {unit.source}: {error}"
    for lost in range(row, unit.first_row + unit.rows):
        yield RawPicture(
            source=f"{unit.source}#{lost}", name=f"{unit.name}#{lost}", stamp=unit.stamp, error=UnreadablePhoto(failure)
        )


def _read_row(place: Folder, unit: InputUnit, row: int, values: dict[str, Any]) -> RawPicture:
    """One row; ``values`` holds the picture cell and perhaps a name."""
    cell = values[unit.column]
    inner: dict[str, Any] = cell if isinstance(cell, dict) else {"bytes" if isinstance(cell, bytes) else "path": cell}
    name = next((str(values[c]) for c in NAME_COLUMNS if values.get(c) is not None), None)
    name = name or (str(inner["path"]) if inner.get("path") else f"{unit.name}#{row}")
    source = f"{unit.source}#{row}"
    try:
        data = inner.get("bytes")
        if data is None:
            data = _read_linked(place, unit, row, inner.get("path"))
    except InputError as error:
        return RawPicture(source=source, name=name, stamp=unit.stamp, error=error)
    # A table of paths does not change when a picture it names does, so its stamp vouches for bytes in it only.
    return RawPicture(source=source, name=name, stamp=unit.stamp if inner.get("bytes") is not None else "", data=data)


def _read_linked(place: Folder, unit: InputUnit, row: int, link: str | None) -> bytes:
    if not link:
        raise UnreadablePhoto(f"row {row} of {unit.source} holds no picture in its column {unit.column!r}")
    if "://" in link:
        parent, name = link.rsplit("/", 1)
        try:
            folder = open_folder(parent)
        except ConfigError as error:
            raise UnreadablePhoto(f"row {row} of {unit.source}: {error}") from error
        return read_file(folder, folder.inside(name), link)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(unit.path), link))
    return read_file(place, path, source_of(place, path))


def _holds_pictures(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return any(
        check(kind)
        for check in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string, pa.types.is_large_string)
    )
