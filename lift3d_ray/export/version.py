"""What made a file: versions, without importing what they belong to."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "lift3d-ray"


def installed_version(package: str) -> str:
    """The installed version of a distribution, or "unknown" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def generator() -> str:
    """The name this package signs its files with, such as ``lift3d-ray 0.1.0``."""
    return f"{PACKAGE} {installed_version(PACKAGE)}"
