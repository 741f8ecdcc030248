"""The model libraries as guests: their remarks and bars off the terminal, their idle threads off the cores."""

from __future__ import annotations

from collections.abc import MutableMapping

QUIET = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


MODEST = {
    # A thread that waits for its team otherwise spins, and beside other busy processes the team then waits for it.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def prepare(environment: MutableMapping[str, str]) -> None:
    """Let diffusers and transformers report errors only, and OpenMP wait asleep, in this process and its children.

    They read these variables when they are first imported. What the user has set stays.
    """
    for name, value in (QUIET | MODEST).items():
        environment.setdefault(name, value)
