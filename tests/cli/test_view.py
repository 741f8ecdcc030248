from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lift3d_ray.cli.view import LOOPBACK, gallery_server
from lift3d_ray.errors import ConfigError


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "mug").mkdir(parents=True)
    (run / "index.html").write_text("<h1>gallery</h1>")
    (run / "mug" / "asset.glb").write_bytes(b"glTF")
    (tmp_path / "secret.txt").write_text("not yours")
    return run


@pytest.fixture
def url(gallery: Path) -> Iterator[str]:
    with gallery_server(gallery, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_serves_the_gallery_and_names_glb_files(url: str) -> None:
    assert urllib.request.urlopen(f"{url}/").read() == b"<h1>gallery</h1>"
    answer = urllib.request.urlopen(f"{url}/mug/asset.glb")
    assert answer.headers["Content-Type"] == "model/gltf-binary"


def test_serves_nothing_above_the_folder(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/../secret.txt")


def test_listens_on_the_loopback_address_only(gallery: Path) -> None:
    with gallery_server(gallery, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_refuses_a_folder_without_a_gallery(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no index\.html"):
        gallery_server(tmp_path, 0)


def test_refuses_a_taken_port(gallery: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(ConfigError, match="choose another with --port"):
        gallery_server(gallery, taken.getsockname()[1])
