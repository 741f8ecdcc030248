"""Runs on a real Ray: rows are conserved, work is not done twice, and nothing that dies takes the run with it.

Most tests share one cluster of two logical CPUs and two logical GPUs; those about killing everything start their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lift3d_ray.batch.board import RunState
from lift3d_ray.batch.submit import Options, submit
from lift3d_ray.batch.summary import RunSummary
from lift3d_ray.errors import ClusterError
from lift3d_ray.store.files import STAGING, open_folder
from lift3d_ray.store.ledger import Ledger
from lift3d_ray.store.schema import Outcome
from lift3d_ray.subject.select import EVERY
from tests.batch.fakes import RECIPE, ROUTE, lifts
from tests.batch.serving import SERVED

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster that this process is connected to."""
    import ray

    ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level=40)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    def make(**words: str) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, text in words.items():
            (folder / f"{name}.png").write_text(text)
        return folder

    return make


def run(inputs: Path, out: Path, *, workers: int = 2, address: str | None = None) -> RunSummary:
    options = Options(workers=workers, address=address)
    return submit([str(inputs)], str(out), RECIPE, bundle="analytic", route=ROUTE, options=options)


def outcomes(out: Path) -> dict[str, Outcome]:
    ledger = Ledger(folder=open_folder(str(out)))
    return {outcome.name: outcome for outcome in ledger.get_many(ledger.keys()).values()}


def check_whole(out: Path, *, interrupted: bool = False) -> None:
    """Every row that is done has its asset, and nothing is left lying about.

    An interrupted run may leave an asset whose row was not written any more (the asset comes first): the next run
    replaces it.
    """
    for outcome in outcomes(out).values():
        if outcome.status == "done":
            assert (out / outcome.folder / "asset.glb").read_text() == f"{outcome.caption} {outcome.seed}"
    assert not (out / STAGING).exists()
    assert list((out / "ledger/claims").iterdir()) == []
    folders = {outcome.folder for outcome in outcomes(out).values() if outcome.folder}
    there = {f"assets/{path.name}" for path in (out / "assets").iterdir()}
    assert folders <= there
    assert interrupted or there == folders


def script(inputs: Path, out: Path, address: str | None = None) -> subprocess.Popen[str]:
    """The same run in a process, and a process group, of its own."""
    code = f"""
import sys
from pathlib import Path
from tests.batch.test_cluster import run
summary = run(Path({str(inputs)!r}), Path({str(out)!r}), address={address!r})
print(summary.rows, summary.done, summary.skipped, summary.failed, summary.left)
sys.exit(summary.exit_status)
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_lifts(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while len(lifts(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing was lifted in time"
        time.sleep(0.1)


def test_rows_are_conserved_whatever_becomes_of_them(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    inputs = pictures(
        good="one", twin="one", empty="nothing", late="diverge", broken="bug", early="perceive-bug", dies="death twice"
    )
    (inputs / "gone.png").symlink_to("/nowhere.png")
    summary = run(inputs, tmp_path / "out")
    assert (summary.rows, summary.done, summary.failed, summary.left) == (8, 3, 5, 0)
    assert summary.exit_status == 1
    assert sorted(lifts(tmp_path / "out")) == ["death twice", "one"]
    codes = {failure.name: failure.error_code for failure in summary.failures}
    assert codes == {
        "empty.png": "no-subject",
        "late.png": "optimization-failed",
        "broken.png": "internal",
        "early.png": "internal",
        "gone.png": "unreadable-photo",
    }
    table = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert sorted(row["name"] for row in table) == sorted(path.name for path in inputs.iterdir())
    assert (tmp_path / "out/index.html").exists()
    check_whole(tmp_path / "out")
    again = run(inputs, tmp_path / "out")
    assert (again.done, again.skipped, again.failed, again.left) == (0, 3, 5, 0)
    assert sorted(lifts(tmp_path / "out")) == ["death twice", "one"]


def test_every_thing_of_a_picture_is_lifted_whatever_becomes_of_the_others(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    inputs = pictures(
        desk="a mug | perceive-death | a cup", twin="a duck | a hen", other="a duck | a hen", none="blank"
    )
    out = tmp_path / "out"

    def run_all() -> RunSummary:
        options = Options(workers=2)
        return submit([str(inputs)], str(out), RECIPE, bundle="analytic", route=ROUTE, options=options, selection=EVERY)

    summary = run_all()
    assert (summary.pictures, summary.rows, summary.done, summary.failed, summary.left) == (4, 8, 6, 2, 0)
    assert {row.name: row.error_code for row in summary.failures} == {"desk.png#2": "cluster", "none.png": "no-subject"}
    assert sorted(lifts(out)) == ["a cup", "a duck", "a hen", "a mug"]
    names = [row["name"] for row in pq.read_table(out / "manifest.parquet").to_pylist()]
    things = {"desk": 3, "other": 2, "twin": 2}
    wanted = [f"{name}.png#{number + 1}" for name, count in things.items() for number in range(count)]
    assert sorted(names) == sorted([*wanted, "none.png"])
    again = run_all()
    assert (again.rows, again.done, again.skipped, again.failed, again.left) == (8, 0, 6, 2, 0)
    assert len(lifts(out)) == 4


def test_a_scene_that_always_kills_its_worker_fails_and_the_others_go_on(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    summary = run(pictures(a="death", b="fine", c="perceive-death", d="good"), tmp_path / "out")
    assert (summary.done, summary.failed, summary.left) == (2, 2, 0)
    assert {failure.error_code for failure in summary.failures} == {"cluster"}


def test_results_do_not_depend_on_the_number_of_workers(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    inputs = pictures(a="one", b="two", c="three", d="four")
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(inputs, one, workers=1).done == run(inputs, two, workers=2).done == 4
    facts = [
        {name: (outcome.seed, outcome.key, outcome.metrics) for name, outcome in outcomes(out).items()}
        for out in (one, two)
    ]
    assert facts[0] == facts[1]
    assert len({seed for seed, _, _ in facts[0].values()}) == 4


def test_two_submits_at_once_share_the_work(cluster: str, pictures: Callable[..., Path], tmp_path: Path) -> None:
    inputs = pictures(**{f"p{number}": f"slow 3 number {number}" for number in range(8)})
    processes = [script(inputs, tmp_path / "out", cluster) for _ in range(2)]
    said = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    counts = [[int(word) for word in out.split()] for out, _ in said]
    assert all(rows == done + skipped and left == 0 for rows, done, skipped, _, left in counts)
    assert sum(done for _, done, _, _, _ in counts) == 8
    assert len(lifts(tmp_path / "out")) == 8
    assert pq.read_table(tmp_path / "out/manifest.parquet").num_rows == 8
    check_whole(tmp_path / "out")


def test_a_run_that_does_not_fit_is_refused_not_left_waiting(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    from lift3d_ray.deployments.app import ReplicaArgs, ServeArgs

    options = Options(serve_args=ServeArgs(bundle="analytic", prior=ReplicaArgs(num_gpus=3)))
    with pytest.raises(ClusterError, match="GPU wanted"):
        submit([str(pictures(a="one"))], str(tmp_path / "out"), RECIPE, bundle="analytic", options=options)


def test_scenes_query_the_served_models_and_outlive_a_replica(
    cluster: str, pictures: Callable[..., Path], tmp_path: Path
) -> None:
    """The whole house with models in closed form; every third scene has the prior's replica killed under it."""
    inputs = pictures(a="red", b="blue kill", c="green", d="nothing at all")
    seen: list[RunState] = []
    summary = submit(
        [str(inputs)], str(tmp_path / "out"), RECIPE, bundle="analytic", route=SERVED, on_progress=seen.append
    )
    assert [failure.error_code for failure in summary.failures] == ["no-subject"], summary.failures
    assert (summary.done, summary.left) == (3, 0)
    assert {outcome.caption for outcome in outcomes(tmp_path / "out").values()} >= {"a red thing", "a green thing"}
    # That every answer is the served prior's own is checked inside the scenes; here, that the run told of itself.
    assert any(state.done for state in seen)
    from ray import serve

    assert serve.status().applications == {}


def test_after_kill_9_of_everything_only_what_is_missing_is_lifted(
    pictures: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    inputs = pictures(**{f"p{number}": f"slow 10 number {number}" for number in range(6)})
    process = script(inputs, out)
    wait_for_lifts(out, 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    time.sleep(5)
    recorded = {name for name, outcome in outcomes(out).items() if outcome.status == "done"}
    before = lifts(out)
    assert 1 <= len(recorded) < 6
    resumed = script(inputs, out)
    said, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, errors
    assert said.split() == ["6", str(6 - len(recorded)), str(len(recorded)), "0", "0"]
    again = lifts(out)[len(before) :]
    assert len(again) == 6 - len(recorded)
    assert "Traceback" not in errors
    check_whole(out)


def test_ctrl_c_keeps_what_is_finished(pictures: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    inputs = pictures(**{f"p{number}": f"slow 10 number {number}" for number in range(8)})
    process = script(inputs, out)
    wait_for_lifts(out, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    rows, done, skipped, failed, left = (int(word) for word in said.split())
    assert done >= 1
    assert left >= 1
    assert rows == done + skipped + failed + left
    assert pq.read_table(out / "manifest.parquet").num_rows >= done
    check_whole(out, interrupted=True)
