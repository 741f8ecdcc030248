"""The house rules that prose alone would not keep: import directions, a core without Ray, light imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house import ROOT, imports, modules, unit_of

# A unit (top-level module or package of lift3d_ray) may import from its own row and from the rows above it.
LAYERS = (
    {"errors"},
    {"cameras", "client", "devices", "recipes", "recipe_settings"},
    {"types"},
    {"models", "field", "photo", "photo_container", "photo_pixels"},
    {"subject", "conditioning", "coarse", "guidance", "optimize", "mesh", "export", "pose", "refine", "store", "judge"},
    {"lifting", "best_of", "edit", "service", "stages", "words_alone"},
    {"batch", "deployments", "evaluate", "toybox"},
    {"cli"},
)
RANK = {unit: rank for rank, row in enumerate(LAYERS) for unit in row}
# The training world is no part of lifting somebody's picture.
MAY_IMPORT_TOYBOX = {"toybox", "evaluate", "cli"}
MAY_IMPORT_RAY = {"batch", "deployments"}
# The run drives the Serve application, and nothing else may know both.
ONE_NODE = {"batch": "ray side", "deployments": "ray side"}
HEAVY = (
    *("PIL", "diffusers", "numpy", "pyarrow", "ray", "scipy", "skimage", "sqlalchemy", "torch", "transformers"),
    "trimesh",
)


def arrows() -> set[tuple[str, str]]:
    """(importer, imported) pairs of units, lazily imported ones included."""
    found = set()
    for dotted, path in modules().items():
        importer = unit_of(dotted)
        for target in imports(path.read_text(encoding="utf-8")):
            imported = unit_of(target)
            if importer and imported in RANK and importer != imported:
                found.add((importer, imported))
    return found


def broken_arrows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for every arrow that points outward."""
    wrong = []
    for importer, imported in sorted(pairs):
        if RANK[imported] > RANK[importer]:
            wrong.append(f"{importer} imports {imported}, which stands further out")
        if imported == "toybox" and importer not in MAY_IMPORT_TOYBOX:
            wrong.append(f"{importer} imports toybox; only {sorted(MAY_IMPORT_TOYBOX)} may")
    return wrong


def circle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Units that import each other in a circle, empty where there is none."""
    graph: dict[str, set[str]] = {}
    for importer, imported in pairs:
        one, other = ONE_NODE.get(importer, importer), ONE_NODE.get(imported, imported)
        if one != other:
            graph.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(unit) for unit in error.args[1]]
    return []


def test_every_unit_has_a_layer() -> None:
    units = {unit_of(dotted) for dotted in modules()} - {None}
    assert units <= set(RANK), f"give {sorted(map(str, units - set(RANK)))} a row in LAYERS"


def test_arrows_point_inward() -> None:
    assert broken_arrows(arrows()) == []


def test_units_do_not_import_each_other_in_circles() -> None:
    assert circle(arrows()) == []


def test_ray_is_imported_only_at_its_two_homes() -> None:
    strangers = {
        dotted
        for dotted, path in modules().items()
        if unit_of(dotted) not in MAY_IMPORT_RAY
        and any(target.split(".")[0] == "ray" for target in imports(path.read_text(encoding="utf-8")))
    }
    assert strangers == set()


def test_the_guards_can_fail() -> None:
    assert broken_arrows({("types", "lifting")}) == ["types imports lifting, which stands further out"]
    assert broken_arrows({("batch", "toybox")}) == ["batch imports toybox; only ['cli', 'evaluate', 'toybox'] may"]
    assert set(circle({("mesh", "export"), ("export", "mesh")})) == {"mesh", "export"}
    assert circle({("batch", "deployments"), ("deployments", "batch")}) == []
    assert list(imports("def f():\n    import ray.data\n    from lift3d_ray import types")) == [
        "ray.data",
        "lift3d_ray",
        "lift3d_ray.types",
    ]


def run_python(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)


BLOCK_RAY = """
import importlib, sys
class NoRay:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ray":
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, NoRay())
"""


def test_the_core_imports_with_ray_blocked() -> None:
    core = [dotted for dotted in modules() if unit_of(dotted) not in MAY_IMPORT_RAY]
    done = run_python(f"{BLOCK_RAY}\nfor name in {core!r}:\n    importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_block_blocks() -> None:
    done = run_python(f"{BLOCK_RAY}\nimport ray.data")
    assert "ImportError: ray is blocked" in done.stderr


@pytest.mark.parametrize("module", ["lift3d_ray", "lift3d_ray.errors", "lift3d_ray.cli.main"])
def test_light_imports_stay_light(module: str) -> None:
    done = run_python(f"import sys, {module}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
