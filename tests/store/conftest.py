from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from lift3d_ray.store.files import Folder, open_folder
from lift3d_ray.store.schema import Outcome

DONE = Outcome(
    key="k" * 40,
    name="cat.png",
    source="/in/cat.png",
    picture_digest="p",
    status="done",
    recipe="make-it-3d",
    quality="draft",
    recipe_digest="r",
    bundle_digest="b",
    run_seed=0,
    caption="a cat",
    seed=5,
    folder="assets/cat",
    seconds=2.5,
    stage_seconds={"optimize": 2.0},
    metrics={"reference_psnr": 21.5, "prior_batch": float("nan")},
    created_at="2026-01-02T03:04:05.000006+00:00",
    run="one",
)
FAILED = replace(
    DONE,
    key="f" * 40,
    status="failed",
    folder="",
    seed=None,
    error_code="no-subject",
    error_message="nothing",
    metrics={},
)


@pytest.fixture
def done() -> Outcome:
    return DONE


@pytest.fixture
def failed() -> Outcome:
    return FAILED


@pytest.fixture(params=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder on this machine, and one on a filesystem that has no renames to rely on."""
    if request.param == "local":
        place = open_folder(str(tmp_path / "out"))
    else:
        store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
        place = Folder(filesystem=store, path="bucket/out", address="test://bucket/out")
    place.create()
    return place
