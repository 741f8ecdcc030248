"""The commands of docs/api.md, run as they stand there against a service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.house import ROOT
from tests.service_api.world import GLB, World, over_http

BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in BLOCKS for line in re.split(r"\n(?=curl )", block.strip()) if line.startswith("curl ")]


def run(command: str, folder: Path, **variables: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    # 28: a stream that was cut by --max-time, as it says.
    assert done.returncode in ((0, 28) if "--max-time" in command else (0,)), (command, done.stderr)
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_every_command_of_the_documentation_works(world: World, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    known = {"DONE": world.lifted(), "LIFT": "", "BATCH": ""}
    answers: dict[str, Any] = {}
    with over_http(world) as server:
        for command in COMMANDS:
            said = run(command, tmp_path, SERVER=server, **known)
            answers[command] = said
            if "/v1/lifts\n" in f"{command}\n" and "-F picture" in command:
                known["LIFT"] = json.loads(said)["id"]
            if command.endswith("/v1/batches"):
                known["BATCH"] = json.loads(said)["id"]
            if "error" in said[:10]:
                raise AssertionError((command, said))
    assert len(COMMANDS) >= 15
    assert (tmp_path / "duck.glb").read_bytes() == GLB
    last = list(answers.values())
    assert '"status":"ok"' in last[-2]
    assert "lift3d_jobs" in last[-1]
    assert known["LIFT"]
    assert known["BATCH"]
