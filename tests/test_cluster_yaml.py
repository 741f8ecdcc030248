"""The cluster file against Ray's own schema; no cloud is asked."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture
def schema() -> dict[str, Any]:
    # Found without importing Ray, which takes seconds.
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    loaded = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_follows_the_schema(cluster: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(cluster, schema)


def test_the_schema_refuses_an_unknown_key(cluster: dict[str, Any], schema: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "wrokers": 3}, schema)


def test_names_agree(cluster: dict[str, Any]) -> None:
    kinds = cluster["available_node_types"]
    assert cluster["head_node_type"] in kinds
    assert all(kind.get("max_workers", 0) <= cluster["max_workers"] for kind in kinds.values())
    assert any(kind["resources"].get("GPU") for kind in kinds.values())


def test_the_image_has_the_ray_that_is_declared(cluster: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = next(line for line in project["dependencies"] if line.startswith("ray["))
    series = re.search(r"==([\d.]+)\.\*", declared)
    assert series
    assert f"rayproject/ray:{series[1]}." in cluster["docker"]["image"]
