"""Masks, captions, batches, health, figures, pages, and what every answer says to browsers."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.service_api.world import KEYS, World, make_world, picture


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def test_segment_gives_masks_with_scores(world: World) -> None:
    files = {"picture": ("red.png", picture(), "image/png")}
    answer = world.client.post("/v1/segment", files=files, data={"selection": '{"points": [[0.5, 0.5]]}'})
    said = answer.json()
    assert (answer.status_code, said["width"], said["height"]) == (200, 48, 48)
    (mask,) = said["masks"]
    assert (mask["score"], mask["box"], mask["area"]) == (1.0, [0.25, 0.25, 0.75, 0.75], 0.25)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask["png"].removeprefix("data:image/png;base64,")))))
    assert shown[12:36, 12:36].all()
    assert shown.sum() == 24 * 24


def test_segment_says_when_nothing_is_there(world: World) -> None:
    files = {"picture": ("grey.png", picture(color=(200, 200, 200)), "image/png")}
    answer = world.client.post("/v1/segment", files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no-subject")


def test_caption_names_the_subject(world: World) -> None:
    answer = world.client.post("/v1/caption", json={"picture_url": "https://pictures.example/red.png"})
    assert answer.json() == {"caption": "a red thing"}


def test_a_batch_is_a_list_of_lifts(world: World) -> None:
    item = {"picture_url": "https://pictures.example/red.png"}
    answer = world.client.post("/v1/batches", json={"items": [{**item, "seed": seed} for seed in range(3)]})
    said = answer.json()
    assert (answer.status_code, said["lifts"], said["counts"], said["ended"]) == (202, 3, {"queued": 3}, False)
    assert world.client.get(answer.headers["location"]).json() == said
    listed = world.client.get(said["url"]).json()["lifts"]
    assert sorted(lift["seed"] for lift in listed) == [0, 1, 2]
    assert {lift["batch"] for lift in listed} == {said["id"]}


@pytest.mark.parametrize("column", ["picture", "picture_url"])
def test_a_batch_may_be_a_table(world: World, column: str) -> None:
    addresses = ["https://pictures.example/red.png"] * 2
    values = [picture(), picture(color=(0, 0, 255))] if column == "picture" else addresses
    table = parquet(pa.table({column: values, "name": ["one", "two"]}))
    answer = world.client.post("/v1/batches", files={"manifest": ("m.parquet", table)}, data={"quality": "draft"})
    assert answer.status_code == 202, answer.json()
    listed = world.client.get(answer.json()["url"]).json()["lifts"]
    assert sorted(lift["name"] for lift in listed) == ["one", "two"]
    assert {lift["quality"] for lift in listed} == {"draft"}


def test_a_batch_that_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    world = make_world(tmp_path, max_queued=2)
    items = [{"picture_url": "https://pictures.example/red.png", "seed": seed} for seed in range(2)]
    assert world.client.post("/v1/batches", json={"items": items[:1]}).status_code == 202
    assert world.client.post("/v1/batches", json={"items": items}).status_code == 429
    assert world.store.usage().queued == 1
    assert world.client.post("/v1/batches", json={"items": items * 2}).status_code == 422
    world.store.database.close()


def test_health_tells_the_truth(world: World) -> None:
    assert world.client.get("/healthz").json() == {"status": "ok", "parts": {"database": "ok", "Perception": "ok"}}


def test_a_dead_model_is_unhealthy(world: World) -> None:
    world.health["Perception"] = "no answer within 10 s"
    answer = world.client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unwell", "parts": {"database": "ok", "Perception": "no answer within 10 s"}}


def test_figures_count_answers_by_route_and_jobs_by_state(world: World) -> None:
    world.lifted()
    world.post()
    world.client.get("/v1/lifts/" + "0" * 32)
    world.client.get("/never/heard/of")
    text = world.client.get("/metrics").text
    assert 'lift3d_http_requests_total{method="POST",route="/v1/lifts",status="202"} 2.0' in text
    assert 'lift3d_http_requests_total{method="GET",route="/v1/lifts/{lift_id}",status="404"} 1.0' in text
    assert 'lift3d_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'lift3d_jobs{state="queued"} 1.0' in text
    assert 'lift3d_jobs{state="ended"} 1.0' in text


def test_every_answer_tells_browsers_what_it_may(world: World) -> None:
    for path in ("/v1/lifts", "/nowhere", "/healthz", "/docs", f"/v1/lifts/{world.lifted()}/files/asset.glb"):
        headers = world.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]


def test_the_reference_names_every_route_and_loads_nothing(world: World) -> None:
    page = world.client.get("/docs").text
    for path in world.client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "<script" not in page
    assert "http://" not in page


def test_without_a_page_the_reference_is_first(world: World) -> None:
    answer = world.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_the_page_and_its_files_come_from_one_folder(tmp_path: Path) -> None:
    web = tmp_path / "web"
    (web / "parts").mkdir(parents=True)
    (web / "index.html").write_text("<p>hello")
    (web / "parts/a.js").write_text("1")
    (web / "secret.key").write_text("no")
    world = make_world(tmp_path, web=web)
    index = world.client.get("/")
    assert (index.text, index.headers["content-type"]) == ("<p>hello", "text/html; charset=utf-8")
    assert "script-src 'self'" in index.headers["content-security-policy"]
    script = world.client.get("/web/parts/a.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert world.client.get("/web/parts/a.js", headers={"If-None-Match": script.headers["etag"]}).status_code == 304
    for path in ("/web/secret.key", "/web/../jobs.db", "/web/%2e%2e/jobs.db"):
        assert world.client.get(path).status_code == 404
    world.store.database.close()


def test_keys_come_in_either_header(tmp_path: Path) -> None:
    world = make_world(tmp_path, keys=KEYS)
    key = next(iter(KEYS))
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"authorization": f"bearer {key}"}):
        assert world.client.get("/v1/lifts", headers=headers).status_code == 200
    refused = world.client.get("/v1/lifts")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    hurried = world.client.get("/v1/lifts", headers={"X-API-Key": "key-in-a-hurry"})
    assert (hurried.status_code, hurried.headers["retry-after"]) == (429, "3")
    assert world.client.get("/healthz").status_code == 200
    world.store.database.close()


def test_settings_are_refused_where_the_service_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path, settings=False)
    answer = world.post(settings=["optimize.steps=1000000"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "settings")
    world.store.database.close()
