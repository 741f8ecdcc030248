"""Keeping the model libraries' own remarks and bars off a terminal that belongs to the command."""

from __future__ import annotations

from collections.abc import MutableMapping

QUIET = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def hush(environment: MutableMapping[str, str]) -> None:
    """Let diffusers and transformers report errors only, here and in processes started from here.

    They read these variables when they are first imported. What the user has set stays.
    """
    for name, value in QUIET.items():
        environment.setdefault(name, value)
