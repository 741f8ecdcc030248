"""Folders of small assets, and what is asked of the meshes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.export.write import write_asset
from lift3d_ray.types import Float32
from tests.export.assets import PROVENANCE, small_asset


def asset_folder(folder: Path) -> Path:
    """A colourful ball, as a lift would have written it."""
    return write_asset(small_asset(), folder, PROVENANCE).folder


def triangles(vertices_N3: Float32, faces_F3: NDArray[Any]) -> NDArray[Any]:
    """The triangles as sorted bytes of their corners' positions, whatever vertices are called and in which order."""
    corners = np.ascontiguousarray(vertices_N3, dtype="<f4")[faces_F3]
    return np.sort(np.array([b"".join(sorted(corner.tobytes() for corner in face)).hex() for face in corners]))
