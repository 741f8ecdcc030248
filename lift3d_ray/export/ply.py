"""PLY: a point cloud with normals and colours, binary little-endian."""

from __future__ import annotations

import numpy as np

from lift3d_ray.errors import ExportError
from lift3d_ray.export.version import generator
from lift3d_ray.types import PointCloud

_ROW = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")] + [(name, "u1") for name in ("red", "green", "blue")]
)


def ply_bytes(points: PointCloud) -> bytes:
    """A point cloud as one PLY file: float x y z nx ny nz, uchar red green blue (sRGB).

    Raises:
        ExportError: the cloud is not finite.
    """
    values = np.concatenate([points.xyz_N3, points.normals_N3], axis=1)
    if not (np.isfinite(values).all() and np.isfinite(points.rgb_N3).all()):
        raise ExportError("the point cloud holds values that are not finite")
    rows = np.empty(len(values), dtype=_ROW)
    for name, column in zip(_ROW.names or (), values.T, strict=False):
        rows[name] = column
    colors = np.round(np.clip(points.rgb_N3, 0.0, 1.0) * 255).astype(np.uint8)
    rows["red"], rows["green"], rows["blue"] = colors.T
    properties = [f"property {'uchar' if _ROW[name] == np.uint8 else 'float'} {name}" for name in _ROW.names or ()]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {generator()}, Y up",
        f"element vertex {len(rows)}",
        *properties,
        "end_header\n",
    ]
    return "\n".join(header).encode("ascii") + rows.tobytes()
