from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.store.files import Folder, open_folder


def test_a_file_is_read_back_and_replaced_whole(folder: Folder) -> None:
    assert folder.read("a/b.json") is None
    folder.write("a/b.json", b"one")
    folder.write("a/b.json", b"two")
    assert folder.read("a/b.json") == b"two"
    assert folder.names("a", ".json") == ["b.json"]


def test_names_lists_only_what_has_the_suffix_right_there(folder: Folder) -> None:
    folder.write("a/b.json", b"")
    folder.write("a/c.txt", b"")
    folder.write("a/d/e.json", b"")
    assert folder.names("a", ".json") == ["b.json"]
    assert folder.names("nowhere", ".json") == []


def test_a_killed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_folder(str(tmp_path))
    place.write("x.json", b"old")

    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        place.write("x.json", b"new")
    assert place.read("x.json") == b"old"
    assert place.names(".", ".json") == ["x.json"]


def test_addresses_mean_the_same_folder_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_folder.cache_clear()
    place = open_folder("out")
    assert place.absolute == str(tmp_path / "out")
    assert open_folder((tmp_path / "out").as_uri()).local == tmp_path / "out"


def test_an_output_that_is_a_file_or_cannot_be_made_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError):
        open_folder(str(tmp_path / "file")).create()
    with pytest.raises(ConfigError, match="choose another"):
        open_folder(str(tmp_path / "file" / "below")).create()


@pytest.mark.parametrize("address", ["nonsense://bucket/x", "s3:///"])
def test_an_address_of_no_known_store_is_wrong_use(address: str) -> None:
    with pytest.raises(ConfigError, match="cannot use"):
        open_folder(address)


def test_a_folder_that_goes_while_it_is_looked_into_has_no_names(folder: Folder) -> None:
    class Vanishing:
        def get_file_info(self, selector: object) -> list[object]:
            raise FileNotFoundError("Cannot list directory")

    assert replace(folder, filesystem=Vanishing()).names("a", ".txt") == []
