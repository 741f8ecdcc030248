from __future__ import annotations

import logging

import numpy as np
import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import compact, face_crosses, face_volumes, is_watertight
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.simplify import simplify
from tests.mesh.shapes import ball


def test_a_ball_keeps_its_shape_with_fewer_faces() -> None:
    mesh = ball(0.7)
    vertices, faces = simplify(mesh.vertices_N3, mesh.faces_F3, target_faces=1000)
    assert 900 <= len(faces) <= 1000 < len(mesh.faces_F3)
    assert is_watertight(faces)
    assert (np.einsum("ij,ij->i", face_crosses(vertices, faces), vertices[faces].mean(axis=1)) > 0).all()
    assert float(face_volumes(vertices, faces).sum()) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.02)
    assert set(np.unique(faces)) == set(range(len(vertices)))
    assert (np.linalg.norm(face_crosses(vertices, faces), axis=1) > 0).all()


def test_a_small_mesh_is_left_alone() -> None:
    mesh = ball(0.5, resolution=16)
    vertices, faces = simplify(mesh.vertices_N3, mesh.faces_F3, target_faces=10_000)
    assert vertices is mesh.vertices_N3
    assert faces is mesh.faces_F3


def test_a_tangle_is_kept_whole_rather_than_broken(caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    vertices, faces = extract_mesh(noise, 0.0)
    with caplog.at_level(logging.WARNING):
        thin_vertices, thin_faces = simplify(vertices, faces, target_faces=100)
    assert is_watertight(thin_faces)
    volumes = [float(face_volumes(*mesh).sum()) for mesh in ((vertices, faces), (thin_vertices, thin_faces))]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    assert "too tangled" in caplog.text


def test_compact_drops_what_has_no_use() -> None:
    vertices = np.arange(15, dtype=np.float32).reshape(5, 3)
    faces = np.array([[0, 2, 4], [1, 1, 2], [3, 0, 3]], np.int32)
    kept, renamed = compact(vertices, faces)
    assert np.array_equal(kept, vertices[[0, 2, 4]])
    assert renamed.tolist() == [[0, 1, 2]]


def test_too_few_faces_are_refused() -> None:
    mesh = ball(0.5, resolution=16)
    with pytest.raises(ConfigError, match="at least 4"):
        simplify(mesh.vertices_N3, mesh.faces_F3, target_faces=3)
