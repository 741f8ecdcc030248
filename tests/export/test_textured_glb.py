from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from lift3d_ray.errors import ExportError
from lift3d_ray.export.textured_glb import textured_glb_bytes
from lift3d_ray.refine.atlas import fill_gutters, unwrap
from lift3d_ray.types import TexturedMesh
from tests.export.assets import colourful_ball
from tests.export.glb_check import check_textured
from tests.export.khronos import judge


def textured_ball() -> TexturedMesh:
    """The colourful ball with its colours in a texture."""
    mesh = colourful_ball()
    atlas = unwrap(mesh.vertices_N3, mesh.faces_F3, mesh.normals_N3, size=64)
    return TexturedMesh(
        vertices_N3=atlas.vertices_N3,
        faces_F3=atlas.faces_F3,
        normals_N3=atlas.normals_N3,
        uv_N2=atlas.uv_N2,
        texture_SSC=fill_gutters(atlas, np.asarray(np.clip(atlas.xyz_T3 * 0.6 + 0.5, 0, 1), dtype=np.float32)),
    )


def textured_square(side: int = 4) -> TexturedMesh:
    """A square with a texture whose PNG and whose indices are of odd lengths."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    return TexturedMesh(
        vertices_N3=corners,
        faces_F3=np.array([[0, 1, 2]], np.int32),
        normals_N3=np.tile(np.array([0, 0, 1], np.float32), (4, 1)),
        uv_N2=corners[:, :2] * np.array([0.5, -0.5], np.float32) + 0.5,
        texture_SSC=np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3),
    )


def test_the_file_holds_what_the_specification_demands() -> None:
    mesh = textured_ball()
    glb = check_textured(textured_glb_bytes(mesh, name="a ball", extras={"seed": 3}))
    assert np.array_equal(glb.attribute("POSITION"), mesh.vertices_N3)
    assert np.array_equal(glb.attribute("TEXCOORD_0"), mesh.uv_N2)
    assert np.array_equal(glb.indices.reshape(-1, 3), mesh.faces_F3)
    assert glb.document["asset"]["extras"] == {"seed": 3}
    assert glb.document["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    assert "COLOR_0" not in glb.primitive["attributes"]  # would be multiplied with the texture


def test_the_texture_is_the_same_picture() -> None:
    for mesh in (textured_ball(), textured_square()):
        glb = check_textured(textured_glb_bytes(mesh, name="x"))
        view = glb.document["bufferViews"][glb.document["images"][0]["bufferView"]]
        data = glb.body[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), mesh.texture_SSC)


def test_another_reader_sees_the_colours_where_they_belong() -> None:
    mesh = textured_ball()
    scene = trimesh.load(io.BytesIO(textured_glb_bytes(mesh, name="a ball")), file_type="glb")
    assert isinstance(scene, trimesh.Scene)
    (loaded,) = scene.geometry.values()
    assert np.array_equal(loaded.vertices.astype(np.float32), mesh.vertices_N3)
    assert loaded.area == pytest.approx(trimesh.Trimesh(mesh.vertices_N3, mesh.faces_F3, process=False).area)
    shown = loaded.visual.to_color().vertex_colors[:, :3] / 255
    wanted = np.clip(mesh.vertices_N3 * 0.6 + 0.5, 0, 1)
    assert np.abs(shown - wanted).mean() < 0.03


def test_the_khronos_validator_finds_nothing(tmp_path: Path) -> None:
    meshes = {"ball.glb": textured_ball(), "square.glb": textured_square()}
    for name, mesh in meshes.items():
        (tmp_path / name).write_bytes(textured_glb_bytes(mesh, name='a "ball" <ä>', extras={"caption": "ä"}))
    for path, issues in judge(*(tmp_path / name for name in meshes)).items():
        assert issues["messages"] == [], path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"faces_F3": np.zeros((0, 3), np.int32)}, "empty mesh"),
        ({"faces_F3": np.array([[0, 1, 4]], np.int32)}, "faces must name vertices"),
        ({"uv_N2": np.zeros((3, 2), np.float32)}, "needs one of each, got"),
        ({"uv_N2": np.full((4, 2), np.nan, np.float32)}, "places hold values that are not finite"),
    ],
)
def test_a_mesh_unfit_for_export_is_refused(change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        textured_glb_bytes(replace(textured_square(), **change), name="x")
