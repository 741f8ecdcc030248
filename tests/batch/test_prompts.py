"""Prompts as rows: what a file of them gives, and that they go the way of pictures."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from lift3d_ray.batch.board import RunBoard
from lift3d_ray.batch.inputs import read_unit
from lift3d_ray.batch.prompts import MOST_LETTERS, list_prompts
from lift3d_ray.batch.stages import read_pictures
from lift3d_ray.batch.submit import submit
from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.store.keys import picture_digest, prompt_digest
from lift3d_ray.subject.select import EVERY
from tests.batch.fakes import RECIPE, lifts
from tests.batch.test_stages import Stream


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "things.txt"
    path.write_text("\ufeffa red mug\n\n# animals\n  a yellow   duck \r\na red mug\n", encoding="utf-8")
    return path


def test_every_line_is_a_row_but_blank_ones_and_remarks(prompts: Path) -> None:
    units = list_prompts(str(prompts)).units
    assert [(unit.prompt, unit.name) for unit in units] == [
        ("a red mug", "a red mug"),
        ("a yellow duck", "a yellow duck"),
        ("a red mug", "a red mug"),
    ]
    assert [unit.source for unit in units] == [f"{prompts}#{line}" for line in (1, 4, 5)]


def test_a_file_in_the_working_folder_needs_no_path(prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prompts.parent)
    assert list_prompts("things.txt") == replace(list_prompts(str(prompts)), units=list_prompts("things.txt").units)
    assert list_prompts("things.txt").units[0].source == f"{prompts}#1"


def test_a_prompt_is_known_by_its_words(prompts: Path) -> None:
    mug, duck, twin = (next(iter(read_unit(unit))) for unit in list_prompts(str(prompts)).units)
    assert (mug.data, mug.drawn, mug.error) == (b"a red mug", True, None)
    assert mug.digest == twin.digest == prompt_digest(" a red  mug") != duck.digest
    assert mug.digest != picture_digest(b"a red mug")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no prompt in"),
        (b"\n# nothing\n  \n", "no prompt in"),
        (b"\x89PNG\r\n\x1a\n", "no UTF-8 text"),
        (b"a mug\n" + b"x" * (MOST_LETTERS + 1), "line 2 of"),
        (b"a mug\x00", "line 1 of"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        list_prompts(str(path))


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.txt", tmp_path / "no" / "folder.txt", tmp_path):
        with pytest.raises(InputError, match="cannot read the prompts in"):
            list_prompts(str(missing))


def test_prompts_go_the_way_of_pictures_and_twins_are_lifted_once(tmp_path: Path, prompts: Path) -> None:
    stream = Stream(tmp_path)
    stream.begin_anew("run1", draws=True)
    units = list_prompts(str(prompts)).units
    table = pa.table({"unit": range(3), "spec": [pickle.dumps(unit) for unit in units]})
    stream.board = RunBoard(3)
    tables = read_pictures(table, context=stream.context, board=cast(Any, stream.board))
    rows = [row for table in tables for row in table.to_pylist()]
    rows = stream.stage(stream.optimizer(), stream.stage(stream.perceiver(), rows))
    assert [row["ended"] for row in rows] == ["recorded", "recorded", "elsewhere"]
    assert lifts(stream.out) == ["a red mug", "a yellow duck"]
    outcome = stream.ledger.get(rows[1]["key"])
    assert outcome is not None
    assert outcome.folder == f"assets/a-yellow-duck-{outcome.key[:12]}"


def test_a_run_draws_or_is_given_pictures_and_selects_nothing_in_drawings(tmp_path: Path, prompts: Path) -> None:
    out = str(tmp_path / "out")
    assert submit([], out, RECIPE, bundle="analytic", prompts=str(prompts), dry_run=True).left == 3
    with pytest.raises(ConfigError, match="pictures or draws them"):
        submit([str(tmp_path)], out, RECIPE, bundle="analytic", prompts=str(prompts))
    with pytest.raises(ConfigError, match="nothing to select"):
        submit([], out, RECIPE, bundle="analytic", prompts=str(prompts), selection=EVERY)
