"""The API over a real job store, files in memory, and models in closed form: everything but Ray."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from lift3d_ray.deployments.api.app import build_api
from lift3d_ray.deployments.api.parts import ApiConfig, Fetched, Parts
from lift3d_ray.errors import NotAllowed, TooMuch
from lift3d_ray.models.analytic import AnalyticPrior, ColorCaptioner, ColorSegmenter, DigestEncoder, DomeDepth
from lift3d_ray.models.roles import Models
from lift3d_ray.service.addresses import parse_url
from lift3d_ray.service.database import Database
from lift3d_ray.service.fetch import Fetcher
from lift3d_ray.service.files import JobFiles
from lift3d_ray.service.jobs import LOCAL_OWNER, Job, JobResult
from lift3d_ray.service.store import JobStore, QueueSettings
from lift3d_ray.store.files import open_folder

HOST = "http://localhost:8000"
GLB = bytes(range(256)) * 40


def picture(*, side: int = 48, color: tuple[int, int, int] = (220, 30, 30), kind: str = "PNG") -> bytes:
    """A coloured square on grey."""
    rgb = np.full((side, side, 3), 200, np.uint8)
    rgb[side // 4 : -side // 4, side // 4 : -side // 4] = color
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, kind)
    return stream.getvalue()


@dataclass
class World:
    """A running API, and what is behind it."""

    store: JobStore
    files: JobFiles
    client: TestClient
    health: dict[str, str]

    def post(self, **said: Any) -> Any:
        """Ask for a lift of a red square."""
        return self.client.post("/v1/lifts", files={"picture": ("red.png", picture(), "image/png")}, data=said)

    def lifted(self, **said: Any) -> str:
        """A lift that has succeeded."""
        job_id: str = self.post(**said).json()["id"]
        job = self.store.claim("test", 60)
        assert job is not None
        assert job.id == job_id
        assert self.store.finish(job.lease, self.result(job))
        return job_id

    def result(self, job: Job, *, things: int = 1) -> JobResult:
        """What a lift leaves."""
        folders = tuple(f"assets/{job.id}-{job.attempt}-{number}" for number in range(1, things + 1))
        for number, folder in enumerate(folders, start=1):
            self.files.root.write(f"{folder}/asset.glb", GLB * number)
            self.files.root.write(f"{folder}/preview.png", picture())
            self.files.root.write(f"{folder}/turntable.mp4", b"film")
            self.files.root.write(f"{folder}/secret.txt", b"stays inside")
        return JobResult(folders=folders, caption="a red square" if things == 1 else "", stored_bytes=9)


def models() -> Models:
    return Models(
        segmenter=ColorSegmenter(),
        captioner=ColorCaptioner(),
        depth=DomeDepth(),
        clip=DigestEncoder(),
        prior=AnalyticPrior(np.zeros((4, 8, 8), np.float32)),
    )


KEYS = {"key-of-a": "a", "key-of-b": "b"}


def make_world(
    tmp_path: Path,
    *,
    keys: Mapping[str, str] | None = None,
    max_queued: int = 1000,
    key_queue: int = 5,
    **config: Any,
) -> World:
    """An API; with keys, their owners are made known to the store."""
    database = Database(str(tmp_path / "jobs.db"))
    store = JobStore(database, QueueSettings(max_queued=max_queued))
    files, health = JobFiles(root=open_folder(str(tmp_path / "out"))), {"database": "", "Perception": ""}
    if keys:
        _add_owners(database, keys, key_queue)

    def enter(key: str | None) -> str:
        if keys is None:
            return LOCAL_OWNER
        if key == "key-in-a-hurry":
            raise TooMuch("too many requests", retry_after_s=2.5)
        if key is None or key not in keys:
            raise NotAllowed("no such key")
        return keys[key]

    fetcher = Fetcher()

    def fetch(address: str) -> Fetched:
        if address == "https://pictures.example/red.png":
            return Fetched(data=picture(), name="red.png")
        return Fetched(data=fetcher.fetch(address), name="picture")

    parts = Parts(
        store=store,
        files=files,
        enter=enter,
        fetch=fetch,
        check_webhook=parse_url,
        models=models,
        health=lambda: dict(health),
        config=replace(ApiConfig(local_only=keys is None, poll_s=0.02), **config),
    )
    client = TestClient(build_api(parts), base_url=HOST, client=("127.0.0.1", 50000), follow_redirects=False)
    return World(store=store, files=files, client=client, health=health)


def _add_owners(database: Database, keys: Mapping[str, str], max_queued: int) -> None:
    from lift3d_ray.service.tables import OWNERS

    with database.writing() as work:
        for owner in keys.values():
            work.conn.execute(
                OWNERS.insert().values(
                    id=owner,
                    name=owner,
                    webhook_secret="",
                    max_queued=max_queued,
                    max_running=2,
                    max_stored_bytes=10**9,
                    requests_per_minute=10**6,
                    tokens=0.0,
                    tokens_at=work.now,
                    created_at=work.now,
                    served_at=0.0,
                )
            )


@contextmanager
def over_http(world: World) -> Iterator[str]:
    """The address of the API behind a real server, for clients that are none of ours."""
    server = uvicorn.Server(uvicorn.Config(world.client.app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (port,) = {sock.getsockname()[1] for part in server.servers for sock in part.sockets}
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
