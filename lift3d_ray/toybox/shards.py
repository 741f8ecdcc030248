"""Packed files that are written whole or not at all, so that a build can be killed and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
_META = "meta.json"


def shard_path(folder: Path, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard_{index:05d}.npz"


def build(
    folder: Path,
    make: Callable[[range], Arrays],
    *,
    count: int,
    per_shard: int,
    settings: Mapping[str, object],
    workers: int = 1,
) -> None:
    """Makes all shards that are not there yet.

    Args:
        folder: created if missing.
        make: makes the rows of a range; has to depend on nothing but the row numbers. With more
            than one worker it has to be picklable.
        count: rows in all.
        per_shard: rows a shard; the last one may be shorter.
        settings: everything the rows depend on; kept beside the shards and compared on resuming.
        workers: processes.

    Raises:
        ValueError: where the folder holds shards of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, dict(settings, per_shard=per_shard))
    missing = [
        (index, range(start, min(start + per_shard, count)))
        for index, start in enumerate(range(0, count, per_shard))
        if not shard_path(folder, index).exists()
    ]
    job = partial(_build_one, folder, make)
    if workers <= 1:
        for item in missing:
            job(item)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(job, missing))


def _build_one(folder: Path, make: Callable[[range], Arrays], item: tuple[int, range]) -> None:
    index, rows = item
    target = shard_path(folder, index)
    draft = target.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("wb") as stream:
        np.savez(stream, **make(rows))  # type: ignore[arg-type]
    draft.replace(target)


def _check_settings(folder: Path, settings: dict[str, object]) -> None:
    meta = folder / _META
    if meta.exists():
        found = json.loads(meta.read_text())
        if found != settings:
            raise ValueError(f"{folder} holds shards made with {found}, asked for {settings}")
        return
    draft = meta.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(settings, indent=1, sort_keys=True))
    draft.replace(meta)


def load(
    folder: Path, fields: Sequence[str] | None = None, *, limit: int | None = None
) -> Arrays:
    """Loads the finished shards of a folder, also while it is still being built.

    Args:
        folder: where ``build`` wrote.
        fields: names of the arrays wanted, or None for all.
        limit: stop after this many rows.

    Returns:
        the arrays, joined along their first axis.

    Raises:
        FileNotFoundError: where there is no finished shard.
    """
    paths = sorted(folder.glob("shard_*.npz"))
    if not paths:
        raise FileNotFoundError(f"no finished shard in {folder}")
    room = len(paths) * int(json.loads((folder / _META).read_text())["per_shard"])
    wanted = room if limit is None else min(limit, room)
    joined: Arrays = {}
    rows = 0
    for path in paths:
        if rows >= wanted:
            break
        with np.load(path, allow_pickle=False) as shard:
            for name in shard.files if fields is None else fields:
                part = shard[name][: wanted - rows]
                joined[name] = _appended(joined.get(name), part, rows, wanted)
        rows += len(part)
    return {name: whole[:rows] for name, whole in joined.items()}


def _appended(
    whole: NDArray[Any] | None, part: NDArray[Any], rows: int, wanted: int
) -> NDArray[Any]:
    """Copies rows into their place; joining lists at the end would need the memory twice."""
    if whole is None:
        whole = np.empty((wanted, *part.shape[1:]), part.dtype)
    if part.dtype.itemsize > whole.dtype.itemsize:
        whole = whole.astype(part.dtype)
    whole[rows:rows + len(part)] = part
    return whole


def row_seed(seed: int, stream: int, row: int) -> int:
    """A number for one row of a data set, unrelated to those of other rows and streams."""
    state = np.random.SeedSequence([seed, stream, row]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
