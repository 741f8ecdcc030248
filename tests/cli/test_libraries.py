from __future__ import annotations

import os
import subprocess
import sys

from lift3d_ray.cli.libraries import MODEST, QUIET, prepare


def test_what_the_user_has_set_stays() -> None:
    environment = {"DIFFUSERS_VERBOSITY": "info", "OMP_WAIT_POLICY": "ACTIVE"}
    prepare(environment)
    assert environment == {**QUIET, **MODEST, "DIFFUSERS_VERBOSITY": "info", "OMP_WAIT_POLICY": "ACTIVE"}


def test_the_libraries_are_not_there_before_they_are_told() -> None:
    program = (
        "import sys, lift3d_ray.cli.main;"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bundle_loads_without_a_word() -> None:
    program = (
        "import os; from lift3d_ray.cli.libraries import prepare; prepare(os.environ);"
        "from lift3d_ray.models.bundle import load_bundle, load_models; load_models(load_bundle('toybox'))"
    )
    plain = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", program], env=plain, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout == ""
