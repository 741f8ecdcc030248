"""The package's front: what can be imported from it, and that looking costs nothing."""

from __future__ import annotations

import ast
import importlib

import pytest

import lift3d_ray
from tests.house import ROOT


def test_names_are_sorted_and_all_there() -> None:
    assert lift3d_ray.__all__ == sorted(lift3d_ray.__all__)
    assert set(lift3d_ray.__all__) == {"__version__", *lift3d_ray._HOMES}
    assert set(lift3d_ray.__all__) <= set(dir(lift3d_ray))


@pytest.mark.parametrize("name", lift3d_ray.__all__)
def test_name_is_the_one_of_its_home(name: str) -> None:
    value = getattr(lift3d_ray, name)
    if name != "__version__":
        assert value is getattr(importlib.import_module(lift3d_ray._HOMES[name]), name)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "lift3d_ray" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imported for alias in node.names}
    assert seen == lift3d_ray._HOMES


def test_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lift_everything'"):
        _ = lift3d_ray.lift_everything
