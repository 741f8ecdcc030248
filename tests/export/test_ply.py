from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lift3d_ray.errors import ExportError
from lift3d_ray.export.ply import ply_bytes
from tests.export.assets import small_asset


def test_another_reader_agrees() -> None:
    points = small_asset().points
    loaded = trimesh.load(io.BytesIO(ply_bytes(points)), file_type="ply")
    assert isinstance(loaded, trimesh.PointCloud)
    assert np.array_equal(loaded.vertices.astype(np.float32), points.xyz_N3)
    assert np.array_equal(np.asarray(loaded.colors)[:, :3], np.round(points.rgb_N3 * 255).astype(np.uint8))


def test_the_header_names_every_column() -> None:
    data = ply_bytes(small_asset().points)
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    names = [line.split()[1:] for line in lines if line.startswith("property")]
    floats = [["float", name] for name in ("x", "y", "z", "nx", "ny", "nz")]
    assert names == floats + [["uchar", name] for name in ("red", "green", "blue")]
    assert len(body) == 500 * (6 * 4 + 3)
    first = np.frombuffer(body, "<f4", 6)
    assert first[3:] == pytest.approx(small_asset().points.normals_N3[0])


def test_the_same_points_give_the_same_bytes() -> None:
    assert ply_bytes(small_asset().points) == ply_bytes(small_asset().points)


def test_points_that_are_not_finite_are_refused() -> None:
    points = small_asset().points
    with pytest.raises(ExportError, match="not finite"):
        ply_bytes(replace(points, xyz_N3=points.xyz_N3 * np.float32(np.nan)))
