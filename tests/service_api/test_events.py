from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from lift3d_ray.service.jobs import JobResult
from lift3d_ray.types import Progress
from tests.service_api.world import World, make_world


def frames(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, kind and data of the events in a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_a_stream_tells_all_that_happens_and_ends_with_the_lift(world: World) -> None:
    job_id = world.post().json()["id"]

    def work() -> None:
        job = world.store.claim("w", 60)
        assert job is not None
        for step in (1, 2):
            world.store.report(job.lease, Progress(stage="optimize", step=step, steps=2), step / 2)
            time.sleep(0.1)
        world.store.announce(job.lease, "preview", {"name": "preview-1.jpg"})
        world.store.finish(job.lease, JobResult(folders=(), caption="x"))

    thread = threading.Thread(target=work)
    thread.start()
    answer = world.client.get(f"/v1/lifts/{job_id}/events")
    thread.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    told = frames(answer.text)
    assert [number for number, _, _ in told] == sorted(number for number, _, _ in told)
    kinds = [kind for _, kind, _ in told]
    assert kinds == ["state", "state", "stage", "progress", "preview", "state"]
    assert told[0][2]["state"] == "queued"
    assert told[3][2]["progress"] == 1.0
    assert told[4][2] == {"url": f"/v1/lifts/{job_id}/files/preview-1.jpg"}
    assert told[5][2]["state"] == "succeeded"


def test_a_stream_goes_on_where_it_was_cut(world: World) -> None:
    job_id = world.lifted()
    url = f"/v1/lifts/{job_id}/events"
    told = frames(world.client.get(url).text)
    again = frames(world.client.get(url, headers={"Last-Event-ID": str(told[0][0])}).text)
    assert again == told[1:]
    over = world.client.get(url, headers={"Last-Event-ID": str(told[-1][0])})
    assert (over.status_code, over.content) == (204, b"")


def test_a_stream_of_a_deleted_lift_ends(world: World) -> None:
    job_id = world.post().json()["id"]
    threading.Timer(0.5, lambda: world.store.delete(job_id)).start()
    told = frames(world.client.get(f"/v1/lifts/{job_id}/events").text)
    assert told[0][1] == "state"


def test_there_are_not_endless_many_streams_nor_endless_ones(tmp_path: Path) -> None:
    world = make_world(tmp_path, streams=1, stream_s=1.0)
    url = f"/v1/lifts/{world.post().json()['id']}/events"
    begun = time.monotonic()
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(world.client.get(url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 429]
    assert time.monotonic() - begun < 30
    assert world.client.get(url).status_code == 200
    world.store.database.close()
