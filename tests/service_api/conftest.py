from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_api.world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service without keys, for this machine only."""
    world = make_world(tmp_path)
    yield world
    world.store.database.close()
