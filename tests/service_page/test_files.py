"""What the page is made of, and what it asks of the service beside the API for programs. No browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift3d_ray.deployments.api.again import kind_of
from lift3d_ray.deployments.api.workbench import page_policy
from lift3d_ray.service.jobs import JobState
from tests.service_api.world import KEYS, World, make_world, picture
from tests.service_page.site import PAGE_FOLDER

SCRIPTS = sorted(path.name for path in PAGE_FOLDER.glob("*.js"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service with its page."""
    world = make_world(tmp_path, web=PAGE_FOLDER)
    yield world
    world.store.database.close()


def test_the_page_may_run_its_own_files_only(world: World) -> None:
    answer = world.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    said = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert said["default-src"] == "'none'"
    assert said["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert "unsafe-inline" not in page_policy()
    assert re.fullmatch(r"'self'( 'sha256-[A-Za-z0-9+/=]{44}')+", said["style-src"])
    assert {said[name] for name in ("frame-ancestors", "base-uri", "form-action")} == {"'none'"}


def test_the_page_has_no_inline_script_or_style_and_asks_nobody_else() -> None:
    text = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|https?:", text) == []
    served = re.findall(r'(?:src|href)="(/web/[^"]+)"', text)
    assert len(served) > 4
    assert [path for path in served if not (PAGE_FOLDER / path.removeprefix("/web/")).is_file()] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_never_make_html_of_text(name: str) -> None:
    text = (PAGE_FOLDER / name).read_text(encoding="utf-8")
    made = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text)
    assert made == []
    assert re.findall(r"https?://", text) == []


def test_what_the_page_imports_is_there(world: World) -> None:
    for name in SCRIPTS:
        text = (PAGE_FOLDER / name).read_text(encoding="utf-8")
        for other in re.findall(r'from "\./([^"]+)"', text):
            answer = world.client.get(f"/web/{other}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert world.client.get("/web/model-viewer.min.js").status_code == 200
    assert world.client.get("/web/../app.py").status_code == 404


def test_the_page_is_told_what_there_is_to_choose_from(tmp_path: Path) -> None:
    world = make_world(tmp_path, keys=KEYS, web=PAGE_FOLDER)
    said = world.client.get("/web/choices.json").json()
    assert said["recipes"] == ["anything-3d", "make-it-3d"]
    assert said["qualities"] == ["draft", "standard", "fine"]
    assert (said["recipe"], said["quality"], said["asks_for_keys"]) == ("make-it-3d", "standard", True)
    world.store.database.close()


def test_the_picture_of_a_lift_comes_back_as_it_was_sent(world: World) -> None:
    job_id = world.post().json()["id"]
    answer = world.client.get(f"/v1/lifts/{job_id}/picture")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", picture())
    assert "sandbox" in answer.headers["content-security-policy"]
    known = {"If-None-Match": answer.headers["etag"]}
    assert world.client.get(f"/v1/lifts/{job_id}/picture", headers=known).status_code == 304


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_kinds_of_pictures_that_browsers_show(kind: str) -> None:
    assert kind_of(picture(kind=kind)) == f"image/{kind.lower()}"


def test_a_picture_is_never_given_out_as_something_that_runs() -> None:
    assert kind_of(b"<svg onload=alert(1)>") == kind_of(b"") == "application/octet-stream"


def test_a_lift_is_asked_for_again_under_another_seed(world: World) -> None:
    first = world.post(seed="7", selection="the red square", best_of="2", settings="optimize.steps=9").json()["id"]
    headers = {"Idempotency-Key": "again-1"}
    path = f"/v1/lifts/{first}/again"
    answer = world.client.post(path, json={"seed": 8, "quality": "draft"}, headers=headers)
    assert answer.status_code == 202
    again, before = world.store.get(answer.json()["id"]), world.store.get(first)
    assert (again.order.seed, again.order.quality) == (8, "draft")
    assert (again.order.selection, again.order.best_of) == (before.order.selection, 2)
    assert (again.order.settings, again.picture_digest) == (before.order.settings, before.picture_digest)
    assert world.client.post(path, json={"seed": 8, "quality": "draft"}, headers=headers).json() == answer.json()
    assert world.client.delete(f"/v1/lifts/{first}").status_code == 204
    assert again.state is JobState.QUEUED
    assert world.client.get(f"/v1/lifts/{again.id}/picture").content == picture()
    for wrong in ({"seed": -1}, {"prompt": "x"}, {"quality": "best"}):
        assert world.client.post(f"/v1/lifts/{again.id}/again", json=wrong).status_code == 422


def test_one_key_never_sees_anothers_picture(tmp_path: Path) -> None:
    world = make_world(tmp_path, keys=KEYS)
    a, b = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    world.client.headers.update(a)
    job_id = world.post().json()["id"]
    assert world.client.get(f"/v1/lifts/{job_id}/picture").status_code == 200
    world.client.headers.update(b)
    assert world.client.get(f"/v1/lifts/{job_id}/picture").status_code == 404
    assert world.client.post(f"/v1/lifts/{job_id}/again", json={"seed": 1}).status_code == 404
    world.store.database.close()
