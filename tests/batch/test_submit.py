"""What ``submit`` does before, and without, starting Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lift3d_ray.batch.inputs import read_unit
from lift3d_ray.batch.submit import submit
from lift3d_ray.batch.summary import RunSummary
from lift3d_ray.batch.units import InputUnit, RawPicture
from lift3d_ray.errors import BundleError, ConfigError, InputError
from lift3d_ray.store.files import open_folder
from lift3d_ray.store.keys import Settings, picture_digest
from lift3d_ray.store.ledger import Ledger
from lift3d_ray.store.schema import Outcome
from tests.batch.fakes import RECIPE

SETTINGS = Settings(
    recipe=RECIPE.name, quality="draft", recipe_digest=RECIPE.digest, bundle_digest="analytic", run_seed=0
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "in" / f"{name}.png").write_text(name)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def record(out: Path, picture: str, *, error: str = "") -> None:
    digest = picture_digest(picture.encode())
    folder = "" if error else f"assets/{picture}"
    Ledger(folder=open_folder(str(out))).put(
        Outcome(
            key=SETTINGS.key(digest),
            name=f"{picture}.png",
            source=f"/elsewhere/{picture}.png",
            picture_digest=digest,
            status="failed" if error else "done",
            error_code=error,
            folder=folder,
            recipe=RECIPE.name,
            quality="draft",
            recipe_digest=RECIPE.digest,
            bundle_digest="analytic",
            run_seed=0,
            run="earlier",
        )
    )


def dry(pictures: Path, out: Path, *, retry_failed: bool = False) -> RunSummary:
    return submit([str(pictures)], str(out), RECIPE, bundle="analytic", dry_run=True, retry_failed=retry_failed)


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(pictures: Path, out: Path) -> None:
    record(out, "a")
    record(out, "b", error="no-subject")
    before = sorted(out.rglob("*"))
    summary = dry(pictures, out)
    assert (summary.rows, summary.skipped, summary.failed, summary.left, summary.done) == (3, 1, 1, 1, 0)
    assert dry(pictures, out, retry_failed=True).left == 2
    assert sorted(out.rglob("*")) == before


def test_nothing_left_is_said_without_ray(pictures: Path, out: Path) -> None:
    for picture in "abc":
        record(out, picture)
    summary = submit([str(pictures)], str(out), RECIPE, bundle="analytic")
    assert (summary.skipped, summary.done, summary.left, summary.exit_status) == (3, 0, 0, 0)
    table = pq.read_table(out / "manifest.parquet").to_pylist()
    assert sorted(row["source"] for row in table if row["source"].startswith(str(pictures))) == [
        str(pictures / f"{name}.png") for name in "abc"
    ]
    assert (out / "index.html").exists()


def test_recorded_failures_are_no_work_but_no_success_either(pictures: Path, out: Path) -> None:
    for picture in "ab":
        record(out, picture)
    record(out, "c", error="no-subject")
    summary = submit([str(pictures)], str(out), RECIPE, bundle="analytic")
    assert (summary.skipped, summary.failed, summary.exit_status) == (2, 1, 1)
    assert [failure.name for failure in summary.failures] == ["c.png"]


def test_looking_again_does_not_read_what_has_not_changed(
    pictures: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in "abc":
        record(out, picture)
    submit([str(pictures)], str(out), RECIPE, bundle="analytic")
    (pictures / "b.png").write_text("changed")
    record(out, "changed")
    read = []

    def read_and_note(unit: InputUnit) -> Iterator[RawPicture]:
        read.append(unit.name)
        return read_unit(unit)

    monkeypatch.setattr("lift3d_ray.batch.survey.read_unit", read_and_note)
    assert submit([str(pictures)], str(out), RECIPE, bundle="analytic").skipped == 3
    assert read == ["b.png"]


def test_looking_does_not_import_ray_or_torch(pictures: Path, out: Path) -> None:
    for picture in "abc":
        record(out, picture)
    code = f"""
import sys
from lift3d_ray.batch.submit import submit
from tests.batch.fakes import RECIPE
summary = submit([{str(pictures)!r}], {str(out)!r}, RECIPE, bundle="analytic")
print([summary.skipped, sorted({{"ray", "torch"}} & set(sys.modules))])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout.replace("'", '"')) == [3, []]


def test_wrong_use_is_said_before_anything_starts(pictures: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        submit([str(tmp_path / "nowhere")], str(out), RECIPE, bundle="analytic")
    with pytest.raises(BundleError):
        submit([str(pictures)], str(out), RECIPE, bundle="no-such-bundle")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        submit([str(pictures)], str(tmp_path / "file"), RECIPE, bundle="analytic")
    assert not out.exists()


def test_the_exit_status_says_whether_all_went_well() -> None:
    summary = RunSummary(
        rows=3, done=1, skipped=2, failed=0, left=0, failures=(), left_out=(), seconds=1, out="o", run="r"
    )
    assert summary.exit_status == 0
    assert replace(summary, failed=1).exit_status == 1
    assert replace(summary, left=1).exit_status == 1
    assert replace(summary, left=1, dry_run=True).exit_status == 0
    assert replace(summary, interrupted=True).exit_status == 130
