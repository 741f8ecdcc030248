"""What an install gets: the right packages under one name, their data, and dependencies for every import."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.house import HOMES, ROOT, imports, modules

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Comes with a declared dependency by that dependency's own promise.
BROUGHT_BY = {"fastapi": "ray", "grpc": "ray", "starlette": "ray"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str | None = None) -> set[str]:
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {normal(re.split(r"[\[=<>!~ ]", line)[0]) for line in lines}


def test_every_package_is_listed() -> None:
    packages = {dotted for dotted, path in modules().items() if path.name == "__init__.py"}
    assert packages == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_folder_of_modules_is_a_package() -> None:
    bare = {path.parent for path in modules().values() if not (path.parent / "__init__.py").is_file()}
    assert bare == set(), "add an __init__.py: without it the folder is missing from the wheel"


def test_every_import_is_declared() -> None:
    distributions = metadata.packages_distributions()
    missing = {}
    for dotted, path in modules().items():
        for target in imports(path.read_text(encoding="utf-8")):
            top = target.split(".")[0]
            if top == "lift3d_ray" or top in sys.stdlib_module_names:
                continue
            owners = {normal(name) for name in distributions.get(top, [top])} | {BROUGHT_BY.get(top, "")}
            own = declared("evaluate") if dotted.startswith("lift3d_ray.evaluate") else set()
            if not owners & (declared() | own):
                missing[top] = dotted
    assert missing == {}, "declare these in pyproject.toml"


def test_no_dependency_is_idle() -> None:
    used = {target.split(".")[0] for path in modules().values() for target in imports(path.read_text(encoding="utf-8"))}
    distributions = metadata.packages_distributions()
    # A module that is one compiled file is not in that list: it goes by its own name.
    owners = {normal(owner) for top in used for owner in distributions.get(top, [top])}
    # segment-anything imports torchvision without declaring it, and Starlette python-multipart.
    assert declared() - owners == {"torchvision", "python-multipart"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, because setuptools leaves its traces beside the sources."""
    work = tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__", "node_modules", "tests")
    shutil.copytree(ROOT, work / "source", symlinks=True, ignore=leave)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(work), str(work / "source")], check=True, timeout=110)
    (built,) = work.glob("*.whl")
    return built


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"lift3d_ray", wheel.name.rsplit("-", 3)[0] + ".dist-info"}


def test_the_wheel_holds_every_module_and_all_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT) for path in modules().values()}
    for folder in ("bundles", "export/web", "service/web"):
        wanted |= {path.relative_to(ROOT) for path in (ROOT / "lift3d_ray" / folder).rglob("*") if path.is_file()}
    wanted.add(Path("lift3d_ray/py.typed"))
    at_home = {str(path) if path.parts[0] == "lift3d_ray" else f"lift3d_ray/{path}" for path in wanted}
    assert {name for name in at_home - names if "__pycache__" not in name} == set()


def test_the_wheel_runs_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    source = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import lift3d_ray.cli.main as main\n"
        "print(main.__file__)\n"
        "sys.exit(main.main(['version']))"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


def test_homes_exist() -> None:
    assert all(folder.is_dir() for folder in HOMES.values())
