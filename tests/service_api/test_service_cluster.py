"""The whole service on a real Ray with the embedded bundle: followed, fetched, canceled, killed, started again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lift3d_ray.client import LiftClient, RemoteLift
from lift3d_ray.service.database import Database
from lift3d_ray.service.jobs import JobState
from lift3d_ray.service.store import JobStore
from tests.house import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

DUCK = ROOT / "examples" / "duck.png"
SHORT = ("optimize.steps=6", "refine.steps=0", "mesh.turntable_frames=4")
ENDLESS = ("optimize.steps=100000", "refine.steps=0")


@contextmanager
def serving(out: Path, *, ends: bool = True) -> Iterator[tuple[LiftClient, subprocess.Popen[str]]]:
    """``lift3d-ray serve`` in a process group of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = "import sys; from lift3d_ray.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", source, "serve", "--out", str(out), "--port", str(port), "--quality", "draft"]
    process = subprocess.Popen(
        [*command, "--optimizers", "1", "--drain", "0"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        assert "is ready; it asks for no key, and answers this machine only" in said[1], said
        yield LiftClient(f"http://127.0.0.1:{port}", timeout_s=120), process
        if ends:
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def until(client: LiftClient, lift_id: str, met: Callable[[RemoteLift], bool], *, within_s: float = 600) -> RemoteLift:
    deadline = time.monotonic() + within_s
    while True:
        lift = client.get(lift_id)
        if met(lift):
            return lift
        assert not lift.ended, lift
        assert time.monotonic() < deadline, lift
        time.sleep(0.5)


def optimizing(lift: RemoteLift) -> bool:
    return lift.stage == "optimize"


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes of the optimizers of a service: those of the Ray that it started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and "SceneWorker" in (entry / "cmdline").read_text():
                raylet = re.search(rb"RAY_RAYLET_PID=(\d+)", (entry / "environ").read_bytes())
                if raylet and parent(int(raylet[1])) == process.pid:
                    found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def parent(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def states(out: Path, lift_id: str) -> list[str]:
    database = Database(str(out / "jobs.db"))
    events = JobStore(database).events(lift_id)
    database.close()
    return [event.data["state"] for event in events if event.kind == "state" and "cancel_asked" not in event.data]


def test_lifts_end_once_whatever_dies(tmp_path: Path) -> None:
    out = tmp_path / "service"
    with serving(out) as (client, process):
        followed = client.submit(DUCK, settings=SHORT)
        events = list(client.events(followed.id))
        assert [event.data["state"] for event in events if event.kind == "state"] == ["queued", "running", "succeeded"]
        assert {"stage", "preview"} <= {event.kind for event in events}
        saved = {path.name: path for path in client.download(client.get(followed.id), tmp_path / "duck")}
        assert saved["asset.glb"].read_bytes().startswith(b"glTF")
        assert set(saved) >= {"asset.glb", "points.ply", "turntable.mp4", "preview.png", "result.json"}

        endless = client.submit(DUCK, settings=ENDLESS)
        until(client, endless.id, optimizing)
        asked = time.monotonic()
        client.cancel(endless.id)
        assert until(client, endless.id, lambda lift: lift.ended).status == "canceled"
        assert time.monotonic() - asked < 20

        killed = client.submit(DUCK, settings=("optimize.steps=60", "refine.steps=0"), seed=1)
        until(client, killed.id, optimizing)
        (worker,) = workers_of(process)
        os.kill(worker, signal.SIGKILL)
        assert client.wait(killed.id).status == "succeeded"
        assert states(out, killed.id) == ["queued", "running", "queued", "running", "succeeded"]


def test_a_restart_goes_on_with_what_was_accepted(tmp_path: Path) -> None:
    out = tmp_path / "service"
    with serving(out, ends=False) as (client, process):
        made = [client.submit(DUCK, settings=SHORT, seed=seed).id for seed in range(3)]
        until(client, made[0], lambda lift: lift.status == "running")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    database = Database(str(out / "jobs.db"))
    before = [JobStore(database).get(lift_id).state for lift_id in made]
    database.close()
    assert JobState.QUEUED in before
    with serving(out) as (client, _):
        for lift_id in made:
            done = client.wait(lift_id)
            assert done.status == "succeeded"
            assert states(out, lift_id).count("succeeded") == 1
        folders = sorted(path.name for path in (out / "assets").iterdir())
        assert sorted(folder.split("-")[0] for folder in folders) == sorted(made)
