from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lift3d_ray.errors import ExportError
from lift3d_ray.store.claims import claim
from lift3d_ray.store.files import STAGING, Folder, open_folder
from lift3d_ray.store.publish import publish, sweep

KEY = "a" * 40


def write_two(work: Path) -> None:
    (work / "asset.glb").write_bytes(b"glb")
    (work / "maps").mkdir()
    (work / "maps" / "mask.png").write_bytes(b"png")


def read(folder: Folder, relative: str) -> bytes | None:
    return folder.read(relative)


def test_a_published_folder_is_whole(folder: Folder) -> None:
    where = publish(folder, "cat-1", KEY, write_two)
    assert where.startswith("assets/cat-1")
    assert read(folder, f"{where}/asset.glb") == b"glb"
    assert read(folder, f"{where}/maps/mask.png") == b"png"


def test_a_failed_write_publishes_nothing_and_leaves_nothing(folder: Folder) -> None:
    def write(work: Path) -> None:
        (work / "half").write_bytes(b"h")
        raise ExportError("no")

    with pytest.raises(ExportError):
        publish(folder, "cat-1", KEY, write)
    if folder.local:
        assert list((folder.local / "assets").iterdir()) == []
        assert list((folder.local / STAGING).iterdir()) == []
    else:
        assert folder.names("assets", "") == []


def test_what_was_put_there_but_never_recorded_is_replaced(folder: Folder) -> None:
    publish(folder, "cat-1", KEY, lambda work: (work / "old").write_bytes(b"1"))
    where = publish(folder, "cat-1", KEY, lambda work: (work / "new").write_bytes(b"2"))
    assert read(folder, f"{where}/new") == b"2"
    assert read(folder, f"{where}/old") is None


def test_a_full_disk_is_told_as_an_export_error(folder: Folder) -> None:
    def write(work: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="No space left"):
        publish(folder, "cat-1", KEY, write)


def test_sweeping_spares_what_is_claimed(tmp_path: Path) -> None:
    place = open_folder(str(tmp_path))
    dead, living = tmp_path / STAGING / f"{'d' * 40}.x", tmp_path / STAGING / f"{'e' * 40}.x"
    dead.mkdir(parents=True)
    living.mkdir()
    locks = tmp_path / "ledger/claims"
    locks.mkdir(parents=True)
    (locks / f"{'f' * 40}.lock").touch()
    with claim(place, "e" * 40) as mine:
        assert mine
        sweep(place)
        assert not dead.exists()
        assert living.exists()
        assert [lock.stem for lock in locks.iterdir()] == ["e" * 40]
    sweep(place)
    assert not (tmp_path / STAGING).exists()


def test_a_claim_is_exclusive_until_it_is_let_go(tmp_path: Path) -> None:
    place = open_folder(str(tmp_path))
    with claim(place, KEY) as first, claim(place, KEY) as second, claim(place, "b" * 40) as other:
        assert (first, second, other) == (True, False, True)
    with claim(place, KEY) as again:
        assert again
    assert list((tmp_path / "ledger/claims").iterdir()) == []


def test_nothing_is_claimed_on_an_object_store(folder: Folder) -> None:
    if folder.local is None:
        with claim(folder, KEY) as first, claim(folder, KEY) as second:
            assert first
            assert second


def hold(path: str, ready: Any) -> None:
    with claim(open_folder(path), KEY) as mine:
        ready.put(mine)
        time.sleep(60)


def test_a_claim_dies_with_its_process_however_it_dies(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    process = context.Process(target=hold, args=(str(tmp_path), ready))
    process.start()
    try:
        assert ready.get(timeout=60)
        with claim(open_folder(str(tmp_path)), KEY) as mine:
            assert not mine
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with claim(open_folder(str(tmp_path)), KEY) as mine:
            assert mine
    finally:
        process.kill()


def count_up(path: str, rounds: int) -> None:
    place = open_folder(path)
    counter = Path(path) / "counter"
    done = 0
    while done < rounds:
        with claim(place, KEY) as mine:
            if mine:
                value = int(counter.read_text())
                counter.write_text(str(value + 1))
                done += 1


def test_two_processes_never_hold_a_claim_together(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_up, args=(str(tmp_path), 200)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert (tmp_path / "counter").read_text() == "400"
