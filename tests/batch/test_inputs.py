from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lift3d_ray.batch import units as units_module
from lift3d_ray.batch.inputs import Listing, list_inputs, read_unit
from lift3d_ray.batch.units import RawPicture
from lift3d_ray.errors import InputError, PhotoTooLarge, UnreadablePhoto
from lift3d_ray.store.files import open_folder

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "deep/er").mkdir(parents=True)
    (root / "b.png").write_bytes(PNG)
    (root / "a.JPG").write_bytes(b"\xff\xd8\xff")
    (root / "deep/er/c.webp").write_bytes(b"")
    (root / "text.png").write_bytes(b"I am text")
    (root / "no suffix").write_bytes(PNG)
    (root / "README.md").write_bytes(b"# about")
    (root / "notes.txt").write_bytes(b"GIF8 is what this begins with")
    (root / ".hidden.png").write_bytes(PNG)
    (root / ".git").mkdir()
    (root / ".git/x.png").write_bytes(PNG)
    return root


def names(listing: Listing) -> list[str]:
    return [unit.name for unit in listing.units]


def read(listing: Listing) -> list[RawPicture]:
    return [raw for unit in listing.units for raw in read_unit(unit)]


def table(file: Path, **columns: list[Any]) -> str:
    pq.write_table(pa.table(columns), file, row_group_size=2)
    return str(file)


def test_a_folder_gives_pictures_by_suffix_or_first_bytes(pictures: Path) -> None:
    listing = list_inputs([str(pictures)])
    assert names(listing) == ["a.JPG", "b.png", "deep/er/c.webp", "no suffix", "notes.txt", "text.png"]
    assert listing.left_out == (str(pictures / "README.md"),)
    assert listing.rows == 6


def test_a_named_file_is_taken_at_the_users_word(pictures: Path) -> None:
    listing = list_inputs([str(pictures / "README.md")])
    assert [(raw.name, raw.data) for raw in read(listing)] == [("README.md", b"# about")]


def test_an_input_named_twice_is_read_once(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures.parent)
    listing = list_inputs([str(pictures / "b.png"), str(pictures), "in/*.png"])
    assert sorted(names(listing)).count("b.png") == 1
    assert listing.rows == 6


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["b.png", "text.png"]),
        ("*.md", ["README.md"]),
        ("[ab].*", ["a.JPG", "b.png"]),
        ("deep/**/*.webp", ["c.webp"]),
        ("**/*.webp", ["c.webp"]),
        ("de*", ["er/c.webp"]),
        (".hid*", [".hidden.png"]),
    ],
)
def test_globs(pictures: Path, pattern: str, found: list[str]) -> None:
    assert names(list_inputs([f"{pictures}/{pattern}"])) == found


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(pictures: Path) -> None:
    (pictures / "odd[1].png").write_bytes(PNG)
    assert names(list_inputs([str(pictures / "odd[1].png")])) == ["odd[1].png"]


def test_the_output_folder_is_never_an_input(pictures: Path) -> None:
    (pictures / "out/assets").mkdir(parents=True)
    (pictures / "out/assets/preview.png").write_bytes(PNG)
    out = open_folder(str(pictures / "out"))
    assert "out/assets/preview.png" not in names(list_inputs([str(pictures)], out=out))
    assert "out/assets/preview.png" in names(list_inputs([str(pictures)]))


@pytest.mark.parametrize("wrong", ["nowhere", "nothing-*.png", "empty", "pipe"])
def test_an_input_that_gives_nothing_is_wrong_use(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError):
        list_inputs([str(tmp_path / wrong)])


def test_pipes_in_a_folder_are_left_out_unread(pictures: Path) -> None:
    os.mkfifo(pictures / "pipe.png")
    assert str(pictures / "pipe.png") in list_inputs([str(pictures)]).left_out


def test_a_uri_lists_like_a_path(pictures: Path) -> None:
    assert names(list_inputs([pictures.as_uri()])) == names(list_inputs([str(pictures)]))


def test_a_file_that_is_gone_or_too_large_is_a_failed_row(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = list_inputs([str(pictures / "b.png"), str(pictures / "a.JPG")])
    (pictures / "b.png").unlink()
    monkeypatch.setattr(units_module, "MAX_FILE_BYTES", 2)
    large, gone = read(listing)
    assert isinstance(large.error, PhotoTooLarge)
    assert isinstance(gone.error, UnreadablePhoto)
    assert large.digest != gone.digest
    assert gone.data == b""


def test_a_broken_link_is_a_failed_row(pictures: Path) -> None:
    (pictures / "link.png").symlink_to(pictures / "nowhere.png")
    (raw,) = [raw for raw in read(list_inputs([str(pictures)])) if raw.name == "link.png"]
    assert isinstance(raw.error, UnreadablePhoto)


def test_links_to_folders_are_followed_and_circles_are_walked_once(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/z.png").write_bytes(PNG)
    (pictures / "linked").symlink_to(tmp_path / "far")
    (pictures / "deep/circle").symlink_to(pictures)
    found = names(list_inputs([str(pictures)]))
    assert "linked/z.png" in found
    assert len(found) == 7


def test_a_folder_that_cannot_be_listed_is_wrong_use(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        list_inputs([str(pictures)])


def test_tables_of_bytes_give_a_row_each(tmp_path: Path) -> None:
    listing = list_inputs([table(tmp_path / "t.parquet", bytes=[b"1", b"2", b"3"], name=["x", None, "z"])])
    assert [unit.rows for unit in listing.units] == [2, 1]
    assert listing.rows == 3
    assert [(raw.name, raw.data) for raw in read(listing)] == [("x", b"1"), ("t.parquet#1", b"2"), ("z", b"3")]
    assert len({raw.source for raw in read(listing)}) == 3


def test_tables_of_structs_as_data_sets_have_them(tmp_path: Path) -> None:
    cells = [{"bytes": b"1", "path": "one.png"}, {"bytes": None, "path": "two.png"}, None]
    (tmp_path / "two.png").write_bytes(b"2")
    rows = read(list_inputs([table(tmp_path / "t.parquet", image=cells)]))
    assert [(raw.name, raw.data) for raw in rows] == [("one.png", b"1"), ("two.png", b"2"), ("t.parquet#2", b"")]
    assert isinstance(rows[2].error, UnreadablePhoto)


def test_tables_of_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.png").write_bytes(b"a")
    links = ["p/a.png", str(tmp_path / "p/a.png"), (tmp_path / "p/a.png").as_uri(), "p/gone.png", "odd://x/y", None]
    rows = read(list_inputs([table(tmp_path / "t.parquet", path=links)]))
    assert [raw.data for raw in rows] == [b"a", b"a", b"a", b"", b"", b""]
    assert [raw.error is None for raw in rows] == [True, True, True, False, False, False]


def test_a_table_without_pictures_is_wrong_use_when_named_and_left_out_in_a_folder(pictures: Path) -> None:
    path = table(pictures / "scores.parquet", score=[1.0])
    with pytest.raises(InputError, match="score"):
        list_inputs([path])
    assert path in list_inputs([str(pictures)]).left_out


def test_a_file_that_only_claims_to_be_a_table(pictures: Path) -> None:
    (pictures / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="Parquet"):
        list_inputs([str(pictures / "bad.parquet")])


def test_rows_that_a_damaged_table_does_not_give_are_failed_rows(tmp_path: Path) -> None:
    path = Path(table(tmp_path / "t.parquet", bytes=[os.urandom(4000) for _ in range(4)]))
    listing = list_inputs([str(path)])
    data = bytearray(path.read_bytes())
    data[10:9000] = bytes(8990)
    path.write_bytes(bytes(data))
    rows = read(listing)
    assert len(rows) == 4
    assert any(raw.error is not None for raw in rows)
    assert len({raw.source for raw in rows}) == 4
