"""Requests made up from the OpenAPI schema: whatever comes, no answer is a 5xx, and every error has the one shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from tests.service_api.world import KEYS, World, make_world

KEY = next(iter(KEYS))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("schema")
    world = make_world(folder, keys=KEYS, key_queue=10**6, max_queued=10**6, poll_s=0.01, stream_s=0.05)
    world.client.headers["Authorization"] = f"Bearer {KEY}"
    world.lifted()
    yield world
    world.store.database.close()


@pytest.fixture(scope="module")
def api_schema(served: World) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", served.client.app)


def test_no_request_is_answered_with_a_defect(api_schema: schemathesis.BaseSchema) -> None:
    operations = [result.ok() for result in api_schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) >= 13
    seen = set()
    for operation in operations:

        @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def attempt(case: schemathesis.Case[Any]) -> None:
            response = case.call(headers={"Authorization": f"Bearer {KEY}"})
            seen.add(response.status_code)
            assert response.status_code < 500, (case.as_curl_command(), response.text)
            if response.status_code >= 400:
                assert set(response.json()) == {"error"}, case.as_curl_command()
                assert set(response.json()["error"]) == {"code", "message"}

        attempt()
    assert {200, 404, 422} <= seen
