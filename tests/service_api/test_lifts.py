from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from lift3d_ray.service.jobs import JobState
from lift3d_ray.types import Progress
from tests.service_api.world import GLB, KEYS, World, make_world, picture


def test_a_picture_is_accepted_and_said_where_to_look(world: World) -> None:
    answer = world.post(recipe="make-it-3d", quality="draft", seed="7", selection="the red square", best_of="2")
    assert answer.status_code == 202
    said = answer.json()
    assert answer.headers["location"] == f"/v1/lifts/{said['id']}"
    assert (said["status"], said["queue_position"], said["progress"]) == ("queued", 1, 0.0)
    assert (said["name"], said["recipe"], said["quality"], said["seed"]) == ("red.png", "make-it-3d", "draft", 7)
    assert (said["selection"], said["best_of"]) == ("words: the red square", 2)
    assert world.client.get(answer.headers["location"]).json() == said
    job = world.store.get(said["id"])
    assert world.files.picture(job.owner, job.picture_digest) == picture()


def test_a_picture_may_be_named_instead_of_sent(world: World) -> None:
    address = "https://pictures.example/red.png"
    pointed = {"points": [[0.5, 0.5]], "labels": [True]}
    body = {"picture_url": address, "selection": pointed, "settings": ["optimize.steps=9"]}
    answer = world.client.post("/v1/lifts", json=body)
    assert answer.status_code == 202
    order = world.store.get(answer.json()["id"]).order
    assert order.selection.points_xy_frac == ((0.5, 0.5),)
    assert order.chosen_recipe().optimize.steps == 9


def test_what_is_no_picture_is_refused_at_once(world: World) -> None:
    answer = world.client.post("/v1/lifts", files={"picture": ("x.png", b"hello", "image/png")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unreadable-photo")
    assert world.store.usage().queued == 0


def test_the_same_idempotency_key_is_the_same_lift(world: World) -> None:
    def post(seed: int) -> tuple[int, str]:
        answer = world.client.post(
            "/v1/lifts",
            files={"picture": ("red.png", picture(), "image/png")},
            data={"seed": str(seed)},
            headers={"Idempotency-Key": "mine-1"},
        )
        return answer.status_code, answer.json().get("id") or answer.json()["error"]["code"]

    first = post(1)
    assert first[0] == 202
    assert post(1) == first
    assert post(2) == (409, "conflict")
    assert world.store.usage().queued == 1


def test_lifts_are_listed_a_page_at_a_time(world: World) -> None:
    made = [world.post(seed=str(seed)).json()["id"] for seed in range(5)]
    first = world.client.get("/v1/lifts", params={"limit": 3}).json()
    second = world.client.get("/v1/lifts", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [lift["id"] for lift in first["lifts"] + second["lifts"]] == made[::-1]
    assert second["next_cursor"] is None
    world.client.post(f"/v1/lifts/{made[2]}/cancel")
    canceled = world.client.get("/v1/lifts", params={"status": "canceled"}).json()["lifts"]
    assert [lift["id"] for lift in canceled] == [made[2]]


def test_a_lift_that_is_known_is_not_told_again(world: World) -> None:
    path = world.post().headers["location"]
    first = world.client.get(path)
    again = world.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert world.store.claim("w", 60) is not None
    assert world.client.get(path, headers={"If-None-Match": first.headers["etag"]}).json()["status"] == "running"


def test_a_waiting_lift_is_canceled_at_once_and_a_running_one_is_asked(world: World) -> None:
    waiting, running = world.post().json()["id"], world.post(seed="1").json()["id"]
    claimed = world.store.claim("w", 60)
    assert claimed is not None
    assert claimed.id == waiting
    assert world.client.post(f"/v1/lifts/{running}/cancel").json()["status"] == "canceled"
    asked = world.client.post(f"/v1/lifts/{waiting}/cancel").json()
    assert (asked["status"], asked["cancel_asked"]) == ("running", True)


def test_a_deleted_lift_is_gone(world: World) -> None:
    path = f"/v1/lifts/{world.lifted()}"
    assert world.client.delete(path).status_code == 204
    for answer in (world.client.get(path), world.client.delete(path), world.client.get(f"{path}/files/asset.glb")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not-found")


def test_files_are_listed_with_what_they_are(world: World) -> None:
    job_id = world.lifted()
    said = world.client.get(f"/v1/lifts/{job_id}").json()
    assert (said["status"], said["progress"], said["caption"], said["things"]) == ("succeeded", 1.0, "a red square", 1)
    assert said["files"][0] == {
        "name": "asset.glb",
        "url": f"/v1/lifts/{job_id}/files/asset.glb",
        "media_type": "model/gltf-binary",
        "bytes": len(GLB),
        "thing": 1,
    }
    whole = world.client.get(said["files"][0]["url"])
    assert (whole.status_code, whole.content) == (200, GLB)
    assert whole.headers["content-type"] == "model/gltf-binary"
    assert whole.headers["content-length"] == str(len(GLB))
    known = world.client.get(said["files"][0]["url"], headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_several_things_have_files_of_their_own(world: World) -> None:
    job_id = world.post(selection="all").json()["id"]
    job = world.store.claim("w", 60)
    assert job is not None
    assert world.store.finish(job.lease, world.result(job, things=2))
    said = world.client.get(f"/v1/lifts/{job_id}").json()
    assert [(file["name"], file["thing"]) for file in said["files"]] == [
        (f"{thing}/{name}", thing) for thing in (1, 2) for name in ("asset.glb", "turntable.mp4", "preview.png")
    ]
    assert world.client.get(said["files"][3]["url"]).content == GLB * 2
    assert world.client.get(f"/v1/lifts/{job_id}/files/2/secret.txt").status_code == 404
    assert world.client.get("/v1/lifts").json()["lifts"][0]["files"] == []


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=0-99999999", 0, None)],
)
def test_parts_of_a_file(world: World, asked: str, start: int, stop: int | None) -> None:
    url = f"/v1/lifts/{world.lifted()}/files/asset.glb"
    part = world.client.get(url, headers={"Range": asked})
    assert (part.status_code, part.content) == (206, GLB[start:stop])
    first = start % len(GLB)
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(GLB)}"
    stale = world.client.get(url, headers={"Range": asked, "If-Range": '"older"'})
    assert (stale.status_code, stale.content) == (200, GLB)


def test_one_key_never_sees_what_is_anothers(tmp_path: Path) -> None:
    world = make_world(tmp_path, keys=KEYS)
    a, b = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    world.client.headers.update(a)
    job_id = world.lifted()
    path = f"/v1/lifts/{job_id}"
    assert world.client.get(path).status_code == 200
    world.client.headers.update(b)
    answers = [
        world.client.get(path),
        world.client.get(f"{path}/events"),
        world.client.get(f"{path}/files/asset.glb"),
        world.client.get(f"{path}/files/preview-1.jpg"),
        world.client.post(f"{path}/cancel"),
        world.client.delete(path),
    ]
    nowhere = world.client.get(f"/v1/lifts/{'0' * 32}").json()["error"]
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json()["error"] == {**nowhere, "message": nowhere["message"].replace("0" * 32, job_id)}
    assert world.client.get("/v1/lifts").json() == {"lifts": [], "next_cursor": None}


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    world = make_world(tmp_path, max_queued=2)
    assert [world.post(seed=str(seed)).status_code for seed in range(3)] == [202, 202, 429]
    refused = world.post()
    assert refused.json()["error"]["code"] == "too-much"
    assert int(refused.headers["retry-after"]) > 0


def test_a_service_that_shuts_down_takes_nothing_new(world: World) -> None:
    world.store.close_gate()
    answer = world.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "closing")
    assert "retry-after" in answer.headers


def test_a_lift_on_its_way_shows_itself(world: World) -> None:
    path = world.post().headers["location"]
    job = world.store.claim("w", 60)
    assert job is not None
    world.store.report(job.lease, Progress(stage="optimize", step=5, steps=10), 0.4)
    for number in (9, 10):
        name = world.files.write_preview(job.id, number, b"jpeg %d" % number)
    said = world.client.get(path).json()
    assert (said["stage"], said["step"], said["steps"], said["progress"]) == ("optimize", 5, 10, 0.4)
    shown = world.client.get(said["preview"])
    assert (shown.content, shown.headers["content-type"]) == (b"jpeg 10", "image/jpeg")
    assert said["preview"].endswith(name)


def test_a_failure_is_told(world: World) -> None:
    path = world.post().headers["location"]
    job = world.store.claim("w", 60)
    assert job is not None
    world.store.fail(job.lease, "no-subject", "red.png: nothing stands out")
    said = world.client.get(path).json()
    assert said["status"] == JobState.FAILED
    assert said["error"] == {"code": "no-subject", "message": "red.png: nothing stands out"}


def test_a_picture_may_come_inside_the_json(world: World) -> None:
    def post(data: bytes) -> Any:
        address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        return world.client.post("/v1/lifts", json={"picture_data": address, "name": "inside"})

    assert post(picture()).json()["name"] == "inside"
    assert (post(b"x").status_code, post(b"x").json()["error"]["code"]) == (422, "unreadable-photo")
