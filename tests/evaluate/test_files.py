"""Exams from mesh files: colours, texture and transforms arrive as the file says them, and bad files are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.evaluate import make_file_exam, mesh_files, score_copy, score_views
from lift3d_ray.evaluate.files import draw, load_mesh_file

BRIGHT, DARK = 200, 20


def textured_card(path: Path, *, turned: bool = False) -> Path:
    """A card towards +Z, red above and blue below by its texture, alone or moved and turned in a scene."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=float)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4], pixels[4:] = (BRIGHT, DARK, DARK), (DARK, DARK, BRIGHT)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(pixels))
    card = trimesh.Trimesh(
        corners,
        [[0, 1, 2], [0, 2, 3]],
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
        process=False,
    )
    scene = trimesh.Scene()
    transform = np.eye(4)
    if turned:
        transform = trimesh.transformations.rotation_matrix(np.pi, [0, 0, 1])
        transform[:3, 3] = (5, -3, 2)
    scene.add_geometry(card, transform=transform)
    scene.export(path)
    return path


def seen(path: Path, azimuth: float = 0.0) -> np.ndarray:
    rgb, alpha = draw(load_mesh_file(path), orbit_c2w(azimuth, 0.0), 48)
    assert rgb.shape == (1, 48, 48, 3)
    assert 0.2 < float(alpha.mean()) < 1
    return np.asarray(rgb[0])


def redness(rgb_HWC: np.ndarray) -> tuple[float, float]:
    """Red less blue of the upper and of the lower half."""
    difference = rgb_HWC[..., 0] - rgb_HWC[..., 2]
    return float(difference[16:23, 18:30].mean()), float(difference[26:32, 18:30].mean())


def test_a_texture_lies_the_right_way_up_on_either_side(tmp_path: Path) -> None:
    path = textured_card(tmp_path / "card.glb")
    for azimuth in (0.0, 180.0):
        above, below = redness(seen(path, azimuth))
        assert above > 0.3
        assert below < -0.3


def test_a_file_may_place_its_parts(tmp_path: Path) -> None:
    above, below = redness(seen(textured_card(tmp_path / "card.glb", turned=True)))
    assert above < -0.3
    assert below > 0.3


def test_a_model_is_centred_in_the_unit_ball(tmp_path: Path) -> None:
    mesh = load_mesh_file(textured_card(tmp_path / "card.glb", turned=True))
    middle = (mesh.vertices_N3.max(0) + mesh.vertices_N3.min(0)) / 2
    np.testing.assert_allclose(middle, 0, atol=1e-6)
    assert np.linalg.norm(mesh.vertices_N3, axis=1).max() == pytest.approx(1, abs=1e-6)
    assert mesh.surface_N3.shape == (4096, 3)
    assert np.abs(mesh.surface_N3[:, 2]).max() < 1e-6
    assert mesh.surface_N3[:, :2].std() > 0.3


def test_colours_of_vertices_and_base_colours_are_taken(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    ball.visual.vertex_colors = np.tile(np.array([30, 220, 30, 255], np.uint8), (len(ball.vertices), 1))
    ball.export(tmp_path / "green.ply")
    plain = trimesh.creation.icosphere(subdivisions=3)
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255])
    plain.visual = trimesh.visual.TextureVisuals(material=material)
    plain.export(tmp_path / "red.glb")
    for name, strongest in (("green.ply", 1), ("red.glb", 0)):
        middle = seen(tmp_path / name)[20:28, 20:28].mean((0, 1))
        assert int(middle.argmax()) == strongest
        assert middle[strongest] > 2 * np.delete(middle, strongest).max()


def test_an_exam_of_a_file_is_repeatable_and_judged_like_any_other(tmp_path: Path) -> None:
    path = textured_card(tmp_path / "card.glb")
    exam, again = make_file_exam(path), make_file_exam(path)
    assert exam.photo.name == "card"
    assert np.array_equal(exam.photo.rgb_HWC, again.photo.rgb_HWC)
    assert score_views(exam.rgb_VSSC, exam.alpha_VSS, exam).iou == 1.0
    assert score_copy(exam).iou < 1.0


def test_files_that_are_no_meshes_are_refused_in_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad.glb"
    bad.write_bytes(b"not a mesh")
    with pytest.raises(InputError, match=r"bad\.glb cannot be read as a mesh"):
        load_mesh_file(bad)
    points = tmp_path / "points.ply"
    trimesh.PointCloud(np.zeros((3, 3))).export(points)
    with pytest.raises(InputError, match="no faces"):
        load_mesh_file(points)


def test_a_folder_lists_its_meshes_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no mesh file"):
        mesh_files(tmp_path)
    for name in ("b.glb", "a.obj", "note.txt"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in mesh_files(tmp_path)] == ["a.obj", "b.glb"]
