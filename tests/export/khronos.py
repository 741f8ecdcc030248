"""The Khronos glTF validator, fetched once from npm into the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

VERSION = "2.0.0-dev.3.10"
SCRIPT = Path(__file__).with_name("validate_glb.cjs")


def modules() -> Path:
    """The folder of node modules with the validator; skips the test where there is no way to get it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the Khronos validator needs node and npm")
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = base / "lift3d-ray" / f"gltf-validator-{VERSION}"
    if not (home / "node_modules" / "gltf-validator" / "package.json").is_file():
        home.mkdir(parents=True, exist_ok=True)
        wanted = f"gltf-validator@{VERSION}"
        command = [npm, "install", "--prefix", str(home), "--no-save", "--no-audit", "--no-fund", wanted]
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not answer within 90 s")
        if made.returncode:
            pytest.skip(f"npm could not install {wanted}: {made.stderr.strip().splitlines()[-1:]}")
    return home / "node_modules"


def judge(*paths: Path) -> dict[str, dict[str, Any]]:
    """The validator's issues for each file, by path."""
    made = subprocess.run(
        ["node", str(SCRIPT), *map(str, paths)],
        env={**os.environ, "NODE_PATH": str(modules())},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    judged: dict[str, dict[str, Any]] = json.loads(made.stdout)
    return judged
