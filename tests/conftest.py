"""Three rings of tests, the inner ones first, and a count of what each of them really ran."""

from __future__ import annotations

import collections
import os
import socket
from typing import Any

# Before any library reads them: nothing here may reach a model hub or send usage figures, and one thread per process is
# both repeatable and the fastest setting when several processes share few cores.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

RINGS = ("unit", "seam", "cluster")
LOOPBACK = ("127.", "::1", "localhost")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test without a ring the unit ring, skip what the machine cannot run, and put the inner rings first."""
    cuda: bool | None = None
    for item in items:
        if not any(item.get_closest_marker(ring) for ring in RINGS):
            item.add_marker(pytest.mark.unit)
        if item.get_closest_marker("gpu"):
            cuda = _has_cuda() if cuda is None else cuda
            if not cuda:
                item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
    items.sort(key=lambda item: RINGS.index(_ring(item)))


def _ring(item: pytest.Item) -> str:
    """The outermost ring that a test names."""
    return next(ring for ring in reversed(RINGS) if item.get_closest_marker(ring))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count every outcome under its ring, skips too: green must not hide that nothing ran."""
    if report.when == "call" or report.skipped or report.failed:
        ring = next((ring for ring in reversed(RINGS) if ring in report.keywords), "unit")
        _OUTCOMES[ring][report.outcome] += 1


_OUTCOMES: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line a ring."""
    terminalreporter.section("rings")
    for ring in RINGS:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(_OUTCOMES[ring].items()))
        terminalreporter.write_line(f"{ring:8s} {counts or 'nothing ran'}")


@pytest.fixture(autouse=True)
def _offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that reaches for the network fails instead of passing only on connected machines."""
    if _ring(request.node) == "unit":
        connect = socket.socket.connect

        def guarded(self: socket.socket, address: Any) -> None:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
                raise RuntimeError(f"a unit test tried to reach {address}: the library must work offline")
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", guarded)
