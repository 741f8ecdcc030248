"""What strangers may send, and what each got; ``python -m tests.service_api.hostile`` writes the table anew."""

from __future__ import annotations

import io
import json
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi.testclient import TestClient

from tests.house import ROOT
from tests.service_api.world import KEYS, World, make_world, picture

RECORD = ROOT / "docs" / "api-hostile.md"
BODY_BYTES = 200_000
_TOLD = 110
_ID = re.compile(r"\b[0-9a-f]{32}\b")

Send = Callable[[World], Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something unkind.

    Attributes:
        what: in words.
        send: does it.
        status: what it should get.
        code: of the error.
        keyed: to a service that asks for keys.
    """

    what: str
    send: Send
    status: int
    code: str
    keyed: bool = False


def bomb(width: int, height: int) -> bytes:
    """A PNG whose head promises more pixels than anybody wants."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def upload(data: bytes, name: str = "x.png", kind: str = "image/png", **said: Any) -> Send:
    return lambda world: world.client.post("/v1/lifts", files={"picture": (name, data, kind)}, data=said)


def form(**said: Any) -> Send:
    return upload(picture(), **said)


def body(content: Any, path: str = "/v1/lifts", **headers: str) -> Send:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    sent = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return lambda world: world.client.post(path, content=data, headers=sent)


def lift(**said: Any) -> Send:
    return body({"picture_url": "https://pictures.example/red.png", **said})


def get(path: str, method: str = "GET", **headers: str) -> Send:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda world: world.client.request(method, path, headers=sent)


def of_lift(path: str, method: str = "GET", **headers: str) -> Send:
    """Of a lift that succeeded."""

    def send(world: World) -> Any:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        return world.client.request(method, f"/v1/lifts/{world.lifted()}{path}", headers=sent)

    return send


def drip(count: int) -> Send:
    """A body that never says how long it is, and does not end."""

    def parts() -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 10_000

    return lambda world: world.client.post("/v1/lifts", content=parts(), headers={"content-type": "application/json"})


def manifest(table: pa.Table | bytes, **said: Any) -> Send:
    data = table
    if not isinstance(data, bytes):
        stream = io.BytesIO()
        pq.write_table(table, stream)
        data = stream.getvalue()
    return lambda world: world.client.post("/v1/batches", files={"manifest": ("m.parquet", data)}, data=said)


def raw_form(content: bytes, boundary: str = "x") -> Send:
    kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"
    return lambda world: world.client.post("/v1/lifts", content=content, headers={"content-type": kind})


def two_files(world: World) -> Any:
    return world.client.post("/v1/lifts", files=[("picture", ("a", picture())), ("picture", ("b", picture()))])


def from_elsewhere(world: World) -> Any:
    client = TestClient(world.client.app, base_url="http://localhost:8000", client=("203.0.113.9", 4242))
    return client.get("/v1/lifts")


def named(key: bytes) -> Send:
    """A lift with an idempotency key."""
    files = {"picture": ("a", picture())}
    return lambda world: world.client.post("/v1/lifts", files=files, headers={b"Idempotency-Key": key})


def doubled_key(world: World) -> Any:
    return world.client.post("/v1/lifts", headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])


PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'

CASES = [
    # Bodies.
    Case(what="no body, no type", send=lambda w: w.client.post("/v1/lifts"), status=415, code="unsupported-media-type"),
    Case(what="XML", send=body(b"<a/>", content_type="application/xml"), status=415, code="unsupported-media-type"),
    Case(
        what="a form as URL parameters",
        send=body(b"a=b", content_type="application/x-www-form-urlencoded"),
        status=415,
        code="unsupported-media-type",
    ),
    Case(what="empty JSON body", send=body(b""), status=400, code="bad-request"),
    Case(what="JSON cut short", send=body(b'{"picture_url": "htt'), status=400, code="bad-request"),
    Case(what="JSON nested 100,000 deep", send=body(b"[" * 100_000), status=400, code="bad-request"),
    Case(what="bytes that are no UTF-8", send=body(b'{"name": "\xff\xfe"}'), status=400, code="bad-request"),
    Case(what="half a surrogate pair", send=body(b'{"name": "\\ud800"}'), status=400, code="bad-request"),
    Case(what="a list for an object", send=body([]), status=422, code="invalid"),
    Case(what="NaN for a seed", send=body(b'{"seed": NaN}'), status=422, code="invalid"),
    Case(what="an unknown word", send=lift(sede=1), status=422, code="invalid"),
    Case(
        what="a compressed body",
        send=body(b"\x1f\x8b", content_encoding="gzip"),
        status=415,
        code="unsupported-media-type",
    ),
    Case(what="a declared length over the limit", send=upload(b"0" * (BODY_BYTES + 1)), status=413, code="too-large"),
    Case(what="an endless body without a length", send=drip(60), status=413, code="too-large"),
    Case(what="a length of -1", send=body(b"{}", content_length="-1"), status=400, code="bad-request"),
    Case(what="a length of 10**30", send=body(b"{}", content_length="1" + "0" * 30), status=413, code="too-large"),
    # Forms.
    Case(what="a form without a boundary", send=raw_form(b"", boundary=""), status=400, code="bad-request"),
    Case(what="a form that ends in the middle", send=raw_form(b"--x\r\nContent-Disp"), status=422, code="config"),
    Case(what="a form that is something else", send=raw_form(b"hello"), status=400, code="bad-request"),
    Case(what="two files", send=two_files, status=400, code="bad-request"),
    Case(
        what="a file in another field",
        send=lambda w: w.client.post("/v1/lifts", files={"photo": ("a", picture())}),
        status=422,
        code="invalid",
    ),
    Case(what="a field twice", send=form(seed=["1", "2"]), status=422, code="invalid"),
    Case(
        what="a picture that is text", send=raw_form(PART % (b"picture", b"x") + b"--x--"), status=422, code="invalid"
    ),
    Case(
        what="200 fields",
        send=raw_form(b"".join(PART % (b"f%d" % n, b"x") for n in range(200)) + b"--x--"),
        status=400,
        code="bad-request",
    ),
    Case(what="a field of 100 kB", send=form(prompt="x" * 100_000), status=400, code="bad-request"),
    # Pictures.
    Case(what="an empty file", send=upload(b""), status=422, code="unreadable-photo"),
    Case(what="text named .png", send=upload(b"hello world" * 9), status=422, code="unreadable-photo"),
    Case(what="an SVG", send=upload(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), status=422, code="unreadable-photo"),
    Case(what="a PDF", send=upload(b"%PDF-1.7\n" + b"0" * 200), status=422, code="unreadable-photo"),
    Case(what="half a PNG", send=upload(picture()[:60]), status=422, code="unreadable-photo"),
    Case(what="a bomb: 30,000 x 30,000 in 1 kB", send=upload(bomb(30_000, 30_000)), status=413, code="photo-too-large"),
    Case(what="a bomb: 2**31 - 1 wide", send=upload(bomb(2**31 - 1, 1)), status=413, code="photo-too-large"),
    Case(what="a picture of 4 x 4", send=upload(picture(side=4)), status=422, code="photo-too-small"),
    Case(
        what="a file named ../../etc/passwd, no picture",
        send=upload(b"x", name="../../etc/passwd"),
        status=422,
        code="unreadable-photo",
    ),
    Case(what="neither picture nor address", send=body({"seed": 1}), status=422, code="config"),
    Case(
        what="picture and address",
        send=form(picture_url="https://pictures.example/red.png"),
        status=422,
        code="invalid",
    ),
    Case(what="two addresses", send=lift(picture_data="data:,x"), status=422, code="config"),
    Case(
        what="the cloud's secrets",
        send=body({"picture_url": "http://169.254.169.254/latest/meta-data/"}),
        status=422,
        code="address-refused",
    ),
    Case(
        what="a file of the server",
        send=body({"picture_url": "file:///etc/passwd"}),
        status=422,
        code="address-refused",
    ),
    Case(
        what="an address with a line break",
        send=body({"picture_url": "https://a\r\nHost: b"}),
        status=422,
        code="invalid",
    ),
    Case(what="an address of 10 kB", send=body({"picture_url": "https://" + "a" * 10_000}), status=422, code="invalid"),
    # Orders.
    Case(what="a recipe that is none", send=lift(recipe="../../recipe"), status=422, code="config"),
    Case(what="a quality that is none", send=lift(quality="ultra"), status=422, code="invalid"),
    Case(what="a negative seed", send=lift(seed=-1), status=422, code="invalid"),
    Case(what="a seed of 2**63", send=lift(seed=2**63), status=422, code="invalid"),
    Case(what="a seed with a fraction", send=lift(seed=1.5), status=422, code="invalid"),
    Case(what="a million seeds", send=lift(best_of=10**6), status=422, code="invalid"),
    Case(what="a setting that is none", send=lift(settings=["__class__=1"]), status=422, code="config"),
    Case(
        what="a setting that is code",
        send=lift(settings=["optimize.steps=__import__('os')"]),
        status=422,
        code="config",
    ),
    Case(what="1,000 settings", send=lift(settings=["a=b"] * 1000), status=422, code="invalid"),
    Case(what="a point outside", send=lift(selection={"points": [[1.5, 0.5]]}), status=422, code="invalid"),
    Case(
        what="a point at infinity", send=body(b'{"selection": {"points": [[Infinity, 0]]}}'), status=422, code="invalid"
    ),
    Case(what="1,000 points", send=lift(selection={"points": [[0.5, 0.5]] * 1000}), status=422, code="invalid"),
    Case(
        what="more labels than points",
        send=lift(selection={"points": [[0, 0]], "labels": [True] * 2}),
        status=422,
        code="invalid",
    ),
    Case(what="a box inside out", send=lift(selection={"box": [0.9, 0.9, 0.1, 0.1]}), status=422, code="invalid"),
    Case(
        what="words and points", send=lift(selection={"text": "a cup", "points": [[0, 0]]}), status=422, code="invalid"
    ),
    Case(what="thing number 0", send=lift(selection="#0"), status=422, code="invalid"),
    Case(what="a selection that is broken JSON", send=form(selection='{"points": ['), status=422, code="invalid"),
    Case(what="a name with a zero byte", send=body(b'{"name": "a\\u0000b"}'), status=422, code="invalid"),
    Case(what="a prompt of 10 kB", send=lift(prompt="x" * 10_000), status=422, code="invalid"),
    Case(
        what="a webhook on this machine", send=lift(webhook="http://127.0.0.1:22/"), status=422, code="address-refused"
    ),
    Case(what="an idempotency key of 300 letters", send=named(b"k" * 300), status=422, code="invalid"),
    Case(what="an idempotency key that is no ASCII", send=named(b"\xe9\xe9"), status=422, code="config"),
    Case(what="two idempotency keys", send=doubled_key, status=400, code="bad-request"),
    # Ids, pages, files.
    Case(what="an id that is none", send=get("/v1/lifts/nothing"), status=404, code="not-found"),
    Case(what="an id that is SQL", send=get("/v1/lifts/' OR '1'='1"), status=404, code="not-found"),
    Case(what="an id with a zero byte", send=get("/v1/lifts/%00"), status=404, code="not-found"),
    Case(what="an id of 5,000 letters", send=get(f"/v1/lifts/{'a' * 5000}"), status=422, code="invalid"),
    Case(what="a page of -1", send=get("/v1/lifts?limit=-1"), status=422, code="invalid"),
    Case(what="a page of 10**9", send=get("/v1/lifts?limit=1000000000"), status=422, code="invalid"),
    Case(what="a cursor that is none", send=get("/v1/lifts?cursor=%2e%2e%2f"), status=422, code="config"),
    Case(what="a status that is none", send=get("/v1/lifts?status=done"), status=422, code="invalid"),
    Case(what="a file up the tree", send=of_lift("/files/..%2f..%2fjobs.db"), status=404, code="not-found"),
    Case(what="the same, twice encoded", send=of_lift("/files/%252e%252e%252fjobs.db"), status=404, code="not-found"),
    Case(what="an absolute file", send=of_lift("/files/%2fetc%2fpasswd"), status=404, code="not-found"),
    Case(what="a file with a zero byte", send=of_lift("/files/asset.glb%00.png"), status=404, code="not-found"),
    Case(what="thing number 0 of a lift", send=of_lift("/files/0/asset.glb"), status=404, code="not-found"),
    Case(what="thing number 7 of one", send=of_lift("/files/7/asset.glb"), status=404, code="not-found"),
    Case(
        what="a file that lies there and stays inside", send=of_lift("/files/secret.txt"), status=404, code="not-found"
    ),
    Case(
        what="a range behind the end",
        send=of_lift("/files/asset.glb", Range="bytes=99999999-"),
        status=416,
        code="range-not-satisfiable",
    ),
    Case(
        what="an empty range",
        send=of_lift("/files/asset.glb", Range="bytes=-0"),
        status=416,
        code="range-not-satisfiable",
    ),
    Case(what="an event id that is none", send=of_lift("/events", Last_Event_ID="-1"), status=400, code="bad-request"),
    Case(what="a method that is none", send=get("/v1/lifts", method="PATCH"), status=405, code="method-not-allowed"),
    Case(what="a path that is none", send=get("/v1/admin"), status=404, code="not-found"),
    Case(what="a file of the page up the tree", send=get("/web/..%2f..%2fsecret"), status=404, code="not-found"),
    # Batches.
    Case(what="a batch of nothing", send=body({"items": []}, "/v1/batches"), status=422, code="invalid"),
    Case(
        what="a batch of 501",
        send=body({"items": [{"picture_url": "x"}] * 501}, "/v1/batches"),
        status=422,
        code="invalid",
    ),
    Case(
        what="a batch with one bad item",
        send=body(
            {"items": [{"picture_url": "https://pictures.example/red.png"}, {"picture_url": "gopher://x"}]},
            "/v1/batches",
        ),
        status=422,
        code="address-refused",
    ),
    Case(what="a manifest that is no table", send=manifest(b"PAR1" + b"0" * 99), status=422, code="invalid"),
    Case(what="a manifest without pictures", send=manifest(pa.table({"a": [1]})), status=422, code="invalid"),
    Case(what="a manifest of numbers", send=manifest(pa.table({"picture_url": [1, 2]})), status=422, code="invalid"),
    Case(
        what="a manifest of a million rows",
        send=manifest(pa.table({"picture_url": ["a"] * 10**6})),
        status=422,
        code="invalid",
    ),
    # Who, and from where.
    Case(what="no key", send=get("/v1/lifts"), status=401, code="not-allowed", keyed=True),
    Case(
        what="a wrong key",
        send=get("/v1/lifts", Authorization="Bearer guess"),
        status=401,
        code="not-allowed",
        keyed=True,
    ),
    Case(
        what="a password", send=get("/v1/lifts", Authorization="Basic YTpi"), status=401, code="not-allowed", keyed=True
    ),
    Case(what="a key in the address", send=get("/v1/lifts?key=key-of-a"), status=401, code="not-allowed", keyed=True),
    Case(what="figures without a key", send=get("/metrics"), status=401, code="not-allowed", keyed=True),
    Case(
        what="a key that is used too often",
        send=get("/v1/lifts", Authorization="Bearer key-in-a-hurry"),
        status=429,
        code="too-much",
        keyed=True,
    ),
    Case(what="another machine, no keys", send=from_elsewhere, status=403, code="local-only"),
    Case(what="a name made to point here", send=get("/v1/lifts", Host="evil.example"), status=403, code="local-only"),
    Case(
        what="another site's page",
        send=get("/v1/lifts", method="POST", Origin="https://evil.example"),
        status=403,
        code="foreign-origin",
    ),
    Case(
        what="a page without an origin",
        send=get("/v1/lifts", method="POST", Origin="null"),
        status=403,
        code="foreign-origin",
    ),
    Case(what="a host that is broken", send=get("/v1/lifts", Host="[::1"), status=403, code="local-only"),
]


def results() -> Iterator[tuple[Case, int, str, str]]:
    """Every case, and the status, code and message that it got."""
    with tempfile.TemporaryDirectory() as folder:
        worlds = {}
        for keyed in (False, True):
            (Path(folder) / str(keyed)).mkdir()
            worlds[keyed] = make_world(Path(folder) / str(keyed), keys=KEYS if keyed else None, body_bytes=BODY_BYTES)
        for case in CASES:
            world = worlds[case.keyed]
            answer = case.send(world)
            error = answer.json()["error"]
            assert set(answer.json()) == {"error"}
            assert set(error) == {"code", "message"}
            assert world.store.usage().queued == 0, "nothing was accepted"
            yield case, answer.status_code, error["code"], error["message"]
        for world in worlds.values():
            world.store.database.close()


def table(rows: list[tuple[Case, int, str, str]]) -> str:
    """The page of the documentation."""
    lines = [
        "# What hostile requests get",
        "",
        f"{len(rows)} requests and their answers, as the test `test_hostile.py` gets them; it compares this page,",
        "which `python -m tests.service_api.hostile` writes. None was accepted, and none was answered with a 5xx.",
        "",
        "| sent | status | code | message |",
        "|---|---|---|---|",
    ]
    for case, status, code, message in rows:
        message = _ID.sub("<id>", message)
        told = message if len(message) <= _TOLD else f"{message[: _TOLD - 3]}..."
        told = "".join(letter if letter.isprintable() else "?" for letter in told).replace("|", "\\|")
        lines.append(f"| {case.what} | {status} | `{code}` | {told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RECORD.write_text(table(list(results())), encoding="utf-8")
