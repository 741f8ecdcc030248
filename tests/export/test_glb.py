from __future__ import annotations

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from lift3d_ray.errors import ExportError
from lift3d_ray.export.glb import glb_bytes, srgb_to_linear
from lift3d_ray.types import Mesh
from tests.export.assets import colourful_ball
from tests.export.glb_check import check, parse
from tests.mesh.shapes import square


def test_the_file_holds_what_the_specification_demands() -> None:
    mesh = colourful_ball()
    glb = check(glb_bytes(mesh, name="a ball", extras={"caption": "a ball", "seed": 3}))
    assert np.array_equal(glb.attribute("POSITION"), mesh.vertices_N3)
    assert np.array_equal(glb.indices.reshape(-1, 3), mesh.faces_F3)
    assert glb.document["asset"]["generator"].startswith("lift3d-ray ")
    assert glb.document["asset"]["extras"] == {"caption": "a ball", "seed": 3}
    assert glb.document["nodes"][0]["name"] == "a ball"
    material = glb.document["materials"][0]
    assert material["pbrMetallicRoughness"] == {"metallicFactor": 0, "roughnessFactor": 1}
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    assert glb.document["extensionsUsed"] == ["KHR_materials_unlit"]


def test_colours_are_stored_as_linear_light() -> None:
    mesh = square(rgb=(0.5, 0.02, 1.0))
    color = parse(glb_bytes(mesh, name="x")).attribute("COLOR_0") / 65535
    # IEC 61966-2-1: 0.5 encoded is 0.2140 in linear light; below 0.04045 the curve is straight.
    assert color[0] == pytest.approx([0.21404, 0.02 / 12.92, 1.0, 1.0], abs=1e-5)


def test_every_8_bit_colour_survives() -> None:
    levels = (np.arange(256) / 255).astype(np.float32)
    linear = np.round(srgb_to_linear(levels).astype(np.float64) * 65535) / 65535
    back = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.array_equal(np.round(back * 255), np.arange(256))


def test_another_reader_agrees() -> None:
    mesh = colourful_ball()
    scene = trimesh.load(io.BytesIO(glb_bytes(mesh, name="a ball")), file_type="glb")
    assert isinstance(scene, trimesh.Scene)
    (loaded,) = scene.geometry.values()
    assert loaded.is_watertight
    assert loaded.volume > 0
    assert np.array_equal(loaded.vertices.astype(np.float32), mesh.vertices_N3)
    assert np.array_equal(loaded.faces, mesh.faces_F3)
    assert loaded.vertex_normals == pytest.approx(mesh.normals_N3, abs=1e-5)


def test_many_vertices_get_wide_indices() -> None:
    count = 65_536
    vertices = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    faces = np.array([[0, 1, count - 1], [2, 3, count - 2]], np.int32)
    up = np.tile(np.array([0, 1, 0], np.float32), (count, 1))
    wide = Mesh(vertices_N3=vertices, faces_F3=faces, normals_N3=up, colors_N3=up)
    assert check(glb_bytes(wide, name="x")).indices.dtype == np.uint32
    narrow = Mesh(
        vertices_N3=vertices[:-1], faces_F3=faces[:, :2].repeat(2, 1)[:, :3], normals_N3=up[:-1], colors_N3=up[:-1]
    )
    assert check(glb_bytes(narrow, name="x")).indices.dtype == np.uint16


def test_an_odd_number_of_short_indices_is_padded() -> None:
    mesh = square()
    data = glb_bytes(replace(mesh, faces_F3=mesh.faces_F3[:1]), name="x")
    assert check(data).indices.tolist() == [0, 1, 2]


def test_the_same_mesh_gives_the_same_bytes() -> None:
    assert glb_bytes(colourful_ball(), name="x") == glb_bytes(colourful_ball(), name="x")


def test_words_in_any_script_survive() -> None:
    data = glb_bytes(square(), name='öl "kanne" \n <b> 茶壺')
    assert check(data).document["nodes"][0]["name"] == 'öl "kanne" \n <b> 茶壺'


def test_normals_are_made_unit() -> None:
    mesh = square()
    odd = replace(mesh, normals_N3=np.array([[0, 0, 3], [0, 0, 0], [1, 1, 0], [0, 0, 1]], np.float32))
    normals = check(glb_bytes(odd, name="x")).attribute("NORMAL")
    assert normals[0] == pytest.approx([0, 0, 1])
    assert normals[1] == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"faces_F3": np.zeros((0, 3), np.int32)}, "empty mesh"),
        ({"faces_F3": np.array([[0, 1, 4]], np.int32)}, "faces must name vertices"),
        ({"faces_F3": np.array([[0, 1, -1]], np.int32)}, "faces must name vertices"),
        ({"vertices_N3": np.full((4, 3), np.nan, np.float32)}, "positions hold values that are not finite"),
        ({"colors_N3": np.full((4, 3), np.inf, np.float32)}, "colours hold values that are not finite"),
        ({"normals_N3": np.zeros((3, 3), np.float32)}, "needs one of each, got"),
    ],
)
def test_a_mesh_unfit_for_export_is_refused(change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        glb_bytes(replace(square(), **change), name="x")


def test_the_check_itself_can_fail() -> None:
    data = glb_bytes(square(), name="x")
    glb = parse(data)
    broken = struct.pack("<f", 9.0) + glb.body[4:]
    with pytest.raises(AssertionError):
        check(data[: len(data) - len(glb.body)] + broken)
    with pytest.raises(AssertionError):
        check(data + b"\0\0\0\0")
