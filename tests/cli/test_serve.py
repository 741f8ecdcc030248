from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import lift3d_ray.deployments.running as running
from lift3d_ray.cli.main import main
from lift3d_ray.deployments.service import ServiceArgs


class Started:
    """What a service that was started is asked."""

    def __init__(self) -> None:
        self.args: ServiceArgs | None = None
        self.where: dict[str, Any] = {}
        self.drained: list[float] = []

    def check(self) -> None:
        signal.raise_signal(signal.SIGINT)

    def drain(self, patience_s: float) -> None:
        self.drained.append(patience_s)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    service = Started()

    @contextmanager
    def served(args: ServiceArgs, **where: Any) -> Iterator[Started]:
        service.args, service.where = args, where
        yield service

    monkeypatch.setattr(running, "served", served)
    return service


def test_published_models_are_served_from_where_weights_says(started: Started, tmp_path: Path) -> None:
    typed = ["serve", "--out", str(tmp_path / "s"), "--port", str(free_port())]
    assert main([*typed, "--model", "segmenter=sam-vit-b", "--weights", str(tmp_path / "w")]) == 0
    assert started.args is not None
    assert started.args.bundle == f"{tmp_path}/w/bundles/toybox+segmenter=sam-vit-b"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_default_is_this_machine_alone_and_says_so(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    assert main(["serve", "--out", str(tmp_path / "s"), "--port", str(port), "--drain", "7", "--optimizers", "2"]) == 0
    said = capsys.readouterr().out
    assert f"http://127.0.0.1:{port}/ is ready; it asks for no key, and answers this machine only" in said
    assert started.args is not None
    assert (started.args.access, started.args.optimizers) == ("loopback", 2)
    assert started.where == {"host": "127.0.0.1", "port": port, "address": None}
    assert started.drained == [7.0]


def test_other_machines_need_a_key(started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["serve", "--out", str(tmp_path / "s"), "--host", "0.0.0.0", "--port", str(free_port())]
    assert main(command) == 2
    assert "there is no API key, and 0.0.0.0 needs one" in capsys.readouterr().err
    assert main(["keys", "create", "laptop", "--out", str(tmp_path / "s"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(command) == 0
    assert started.args is not None
    assert started.args.access == "keys"
    assert "asks everybody for an API key" in capsys.readouterr().out
    assert main(["keys", "revoke", made["id"], "--out", str(tmp_path / "s")]) == 0
    assert main(command) == 2


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--out", str(tmp_path / "s"), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another with --host or --port" in capsys.readouterr().err
    assert started.args is None


def test_keys_are_shown_once_and_listed_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "s")]
    assert main(["keys", "list", *out]) == 0
    assert capsys.readouterr().out == "no keys\n"
    assert main(["keys", "create", "laptop", *out, "--max-queued", "3"]) == 0
    shown = capsys.readouterr().out
    key = shown.split()[1]
    assert key.startswith("lift3d_")
    assert "whsec_" in shown
    assert main(["keys", "list", *out]) == 0
    listed = capsys.readouterr().out
    assert "laptop" in listed
    assert "valid" in listed
    assert key not in listed
    assert main(["keys", "revoke", listed.split()[0], *out]) == 0
    assert main(["keys", "list", *out]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["keys", "revoke", "0" * 12, *out]) == 1
    assert "there is no key" in capsys.readouterr().err
