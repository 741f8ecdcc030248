from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from lift3d_ray.cli.main import main
from lift3d_ray.cli.offline import HUB_SWITCHES, hubs_switched_off, offline
from lift3d_ray.errors import ConfigError

# An address that belongs to nobody (RFC 5737), so that a broken guard reaches nobody either.
NOWHERE = "192.0.2.1"


WAYS_OUT: dict[str, Callable[[socket.socket], object]] = {
    "connect_ex": lambda one: one.connect_ex((NOWHERE, 80)),
    "sendto": lambda one: one.sendto(b"", (NOWHERE, 80)),
    "sendmsg": lambda one: one.sendmsg([b""], [], 0, (NOWHERE, 80)),
    "getaddrinfo": lambda one: socket.getaddrinfo("huggingface.co", 443),
    "gethostbyname": lambda one: socket.gethostbyname("huggingface.co"),
    "create_connection": lambda one: socket.create_connection(("huggingface.co", 443), timeout=1),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_every_way_out_is_stopped(way: str) -> None:
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with plain as one, offline(), pytest.raises(ConfigError, match="asked for"):
        WAYS_OUT[way](one)


def test_this_machine_can_still_be_asked() -> None:
    with offline(), socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as one:
        one.connect(server.getsockname())
        assert socket.getaddrinfo("localhost", 80)


def test_the_promise_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HUB_SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for block in (offline, hubs_switched_off):
        with block():
            assert {os.environ[name] for name in HUB_SWITCHES} == {"1"}
        assert os.environ["HF_HUB_OFFLINE"] == "0"
        assert "TRANSFORMERS_OFFLINE" not in os.environ
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        assert one.connect_ex(("127.0.0.2", 9)) == 0


def test_a_command_that_would_connect_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lift3d_ray.models import catalog

    def curious() -> None:
        socket.getaddrinfo("huggingface.co", 443)

    monkeypatch.setattr(catalog, "bundle_specs", curious)
    assert main(["models", "list", "--offline"]) == 2
    assert "--offline promises that nothing is connected to, and something asked for huggingface.co" in (
        capsys.readouterr().err
    )
