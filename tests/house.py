"""Where the modules of this project are, and what they import: read from the files, nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOMES = {
    "lift3d_ray": ROOT / "lift3d_ray",
    "lift3d_ray.cli": ROOT / "cli",
    "lift3d_ray.deployments": ROOT / "deployments",
}


def modules() -> dict[str, Path]:
    """Every module by the name it is imported under."""
    found = {}
    for package, folder in HOMES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            dotted = ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))
            if "node_modules" not in parts and not (package == "lift3d_ray" and parts[0] in ("cli", "deployments")):
                found[dotted] = path
    return found


def imports(source: str) -> Iterator[str]:
    """Every dotted name that a source imports, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "ruff bans relative imports"
            yield node.module
            if node.module == "lift3d_ray":
                yield from (f"lift3d_ray.{alias.name}" for alias in node.names)


def unit_of(dotted: str) -> str | None:
    """The unit of a module of this package: ``lift3d_ray.field.render`` is of ``field``. None for anything else."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "lift3d_ray" and len(parts) > 1 else None
