from __future__ import annotations

import resource
import subprocess
import sys

from tests.cli.surface import RECORD, surface


def test_the_command_line_is_the_recorded_one() -> None:
    assert surface() == RECORD.read_text(encoding="utf-8"), "if this is on purpose: python -m tests.cli.surface"


def test_help_is_light() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    source = "from lift3d_ray.cli.main import main; raise SystemExit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout
    # Computing time, which a busy machine does not lengthen much; about 0.4 s here.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.2
