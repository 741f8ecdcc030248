"""The client against the API over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lift3d_ray.cli.main import main
from lift3d_ray.client import LiftClient, ServerError
from lift3d_ray.errors import ConfigError
from lift3d_ray.service.jobs import Job
from lift3d_ray.types import Progress
from tests.service_api.world import GLB, KEYS, World, make_world, over_http, picture


@pytest.fixture
def server(world: World) -> Iterator[str]:
    with over_http(world) as address:
        yield address


def lift(world: World, job: Job) -> None:
    """What a worker would do with a job."""
    if "bad" in job.order.name:
        world.store.fail(job.lease, "no-subject", "nothing stands out")
        return
    world.store.report(job.lease, Progress(stage="optimize", step=1, steps=2), 0.5)
    world.store.finish(job.lease, world.result(job))


@contextmanager
def at_work(world: World) -> Iterator[None]:
    """Somebody lifts whatever is asked for, a little later."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.2):
            job = world.store.claim("w", 60)
            if job is not None:
                lift(world, job)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_submit_wait_download(world: World, server: str, tmp_path: Path) -> None:
    client = LiftClient(server)
    photo = tmp_path / 'a "quoted" name.png'
    photo.write_bytes(picture())
    lift = client.submit(photo, quality="draft", selection={"points": [[0.5, 0.5]]}, settings=("optimize.steps=9",))
    assert (lift.status, lift.queue_position, lift.name) == ("queued", 1, "a _quoted_ name.png")
    order = world.store.get(lift.id).order
    assert (order.quality, order.settings) == ("draft", ("optimize.steps=9",))
    told: list[str] = []
    with at_work(world):
        done = client.wait(lift.id, poll_s=0.1, told=lambda lift: told.append(lift.status))
    assert (done.status, done.caption, done.ended, told[0]) == ("succeeded", "a red square", True, told[0])
    assert told[-1] == "succeeded"
    saved = client.download(done, tmp_path / "mine")
    assert saved[0].read_bytes() == GLB
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["asset.glb", "preview.png", "turntable.mp4"]


def test_events_come_to_the_end_over_several_connections(tmp_path: Path) -> None:
    world = make_world(tmp_path, stream_s=0.1)
    with over_http(world) as server:
        client = LiftClient(server)
        lift = client.submit(picture())
        with at_work(world):
            events = list(client.events(lift.id))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["state"] == "succeeded"
    world.store.database.close()


def test_lists_cancels_and_deletes(server: str) -> None:
    client = LiftClient(server)
    made = [client.submit(picture(), seed=seed).id for seed in range(60)]
    assert [lift.id for lift in client.lifts()] == made[::-1]
    assert client.cancel(made[0]).status == "canceled"
    assert [lift.id for lift in client.lifts(status="canceled")] == [made[0]]
    client.delete(made[0])
    with pytest.raises(ServerError, match="job") as error:
        client.get(made[0])
    assert (error.value.status, error.value.server_code) == (404, "not-found")


def test_the_same_request_twice_is_one_lift(server: str) -> None:
    client = LiftClient(server)
    twice = [client.submit(picture(), idempotency_key="mine").id for _ in range(2)]
    assert twice[0] == twice[1]
    assert client.submit(picture()).id != client.submit(picture()).id


def test_a_server_that_is_not_there_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lift3d_ray.client._PATIENCE", (0.01,))
    with pytest.raises(ServerError, match=r"cannot reach 127\.0\.0\.1"):
        LiftClient("http://127.0.0.1:9").get("x")
    with pytest.raises(ConfigError, match="http://host:port"):
        LiftClient("ftp://x")


def test_a_busy_server_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lift3d_ray.client._pause", lambda said, otherwise: 0.05)
    world = make_world(tmp_path, max_queued=1)
    with over_http(world) as server:
        client = LiftClient(server)
        first = client.submit(picture())
        with at_work(world):
            assert client.submit(picture(), seed=1).id != first.id
            client.wait(first.id, poll_s=0.05)
        while world.store.usage().queued == 0:
            client.submit(picture(), seed=3)
        with pytest.raises(ServerError) as error:
            client.submit(picture(), seed=2)
    assert (error.value.status, error.value.server_code) == (429, "too-much")
    world.store.database.close()


def test_keys_are_sent(tmp_path: Path) -> None:
    world = make_world(tmp_path, keys=KEYS)
    with over_http(world) as server:
        assert LiftClient(server, key="key-of-a").submit(picture()).status == "queued"
        with pytest.raises(ServerError) as error:
            LiftClient(server).submit(picture())
    assert error.value.status == 401
    world.store.database.close()


def test_submit_has_a_service_do_it(
    world: World, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lift3d_ray.cli.remote.LOOK_EVERY_S", 0.05)
    (tmp_path / "in").mkdir()
    for name in ("good.png", "bad.png"):
        (tmp_path / "in" / name).write_bytes(picture(color=(200, 0, len(name))))
    out = tmp_path / "mine"
    command = ["submit", str(tmp_path / "in"), "--out", str(out), "--server", server, "--quality", "draft"]
    with at_work(world):
        assert main(command) == 1
    said = capsys.readouterr().out
    assert "2 pictures: 1 lifted, 1 failed" in said
    assert "bad.png  [no-subject]  nothing stands out" in said
    assert [path.read_bytes() for path in out.glob("good-*/asset.glb")] == [GLB]
    assert main([*command, "--json"]) == 1
    assert world.store.usage().ended == 2, "the same command asks for nothing twice"


def test_submit_refuses_what_is_the_services_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "x.png", "--out", "o", "--server", "http://x", "--workers", "2"]) == 2
    assert "--server leaves bundle, workers and cluster to the service" in capsys.readouterr().err
