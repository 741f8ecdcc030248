from __future__ import annotations

from pathlib import Path

import pytest

from lift3d_ray.errors import ConfigError, NotHere
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import JobResult, LiftOrder
from lift3d_ray.service.retention import Retention, Swept, sweep
from lift3d_ray.service.store import JobStore
from lift3d_ray.store.files import open_folder
from tests.service.conftest import Clock

DAY_S = 86400.0


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(root=open_folder(str(tmp_path / "out")))


def lifted(store: JobStore, files: JobFiles, data: bytes, folder: str) -> str:
    """A job that has ended, with all the files that it leaves."""
    digest = files.keep_picture("local", data)
    job_id = store.accept(LiftOrder(), picture_digest=digest).id
    job = store.claim("worker", 10)
    assert job is not None
    files.root.write(f"{folder}/asset.glb", data)
    files.write_preview(job_id, 0, data)
    store.finish(job.lease, JobResult(folders=(folder,)))
    return job_id


def present(files: JobFiles) -> set[str]:
    root = Path(files.root.path)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_old_jobs_go_with_all_their_files(store: JobStore, files: JobFiles, clock: Clock) -> None:
    old = lifted(store, files, b"old", "assets/old")
    clock.sleep(20 * DAY_S)
    new = lifted(store, files, b"new", "assets/new")
    before = present(files)
    clock.sleep(15 * DAY_S)
    assert sweep(store, files, Retention(jobs_days=30)) == Swept(jobs=1, pictures=0, messages=0)
    with pytest.raises(NotHere):
        store.get(old)
    assert store.get(new).id == new
    gone = before - present(files)
    assert len(gone) == 3
    assert {path.split("/")[0] for path in gone} == {"assets", "service"}
    assert "assets/new/asset.glb" in present(files)
    assert sweep(store, files, Retention(jobs_days=30)) == Swept(jobs=0, pictures=0, messages=0)


def test_what_is_shared_stays_until_the_last_has_gone(store: JobStore, files: JobFiles) -> None:
    first = lifted(store, files, b"same", "assets/same")
    second = lifted(store, files, b"same", "assets/same")
    store.delete(first)
    sweep(store, files, Retention())
    assert "assets/same/asset.glb" in present(files)
    assert files.picture("local", store.get(second).picture_digest) == b"same"
    store.delete(second)
    sweep(store, files, Retention())
    assert present(files) == set()


def test_jobs_stay_for_ever_where_that_is_wished(store: JobStore, files: JobFiles, clock: Clock) -> None:
    job = lifted(store, files, b"x", "assets/x")
    clock.sleep(10_000 * DAY_S)
    assert sweep(store, files, Retention(jobs_days=None)).jobs == 0
    assert store.get(job).id == job


def test_a_deleted_job_that_runs_keeps_its_files_until_it_has_ended(store: JobStore, files: JobFiles) -> None:
    digest = files.keep_picture("local", b"x")
    store.accept(LiftOrder(), picture_digest=digest)
    job = store.claim("worker", 10)
    assert job is not None
    store.delete(job.id)
    assert sweep(store, files, Retention()).jobs == 0
    assert files.picture("local", digest) == b"x"
    store.stop(job.lease)
    assert sweep(store, files, Retention()).jobs == 1
    assert present(files) == set()


def test_a_sweep_that_was_killed_is_done_again(
    store: JobStore, files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.delete(lifted(store, files, b"x", "assets/x"))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "forget", die)
        with pytest.raises(KeyboardInterrupt):
            sweep(store, files, Retention())
    assert sweep(store, files, Retention()).jobs == 1
    assert present(files) == set()


def test_pictures_of_requests_that_were_never_accepted_go_after_a_while(store: JobStore, files: JobFiles) -> None:
    digest = files.keep_picture("local", b"stray")
    kept = files.keep_picture("local", b"kept")
    store.accept(LiftOrder(), picture_digest=kept)
    assert sweep(store, files, Retention()).pictures == 0
    assert sweep(store, files, Retention(), clock=lambda: 4e9).pictures == 1
    assert files.picture("local", kept) == b"kept"
    assert digest not in " ".join(present(files))


@pytest.mark.parametrize("wrong", [{"jobs_days": 0}, {"mail_days": -1}, {"stray_hours": 0}])
def test_times_are_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        Retention(**wrong)
