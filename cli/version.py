"""``lift3d-ray version``."""

from __future__ import annotations

import platform
from importlib import metadata

import lift3d_ray

LIBRARIES = ("ray", "torch", "diffusers", "transformers", "segment-anything", "nerfacc", "pyarrow", "numpy")


def version() -> None:
    """Print the version, and those of the libraries that a report of a defect should name."""
    print(f"lift3d-ray {lift3d_ray.__version__}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in LIBRARIES:
        try:
            print(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            print(f"{name} is not installed")
