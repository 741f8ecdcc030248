from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.mesh.geometry import face_crosses, face_volumes, is_watertight
from lift3d_ray.mesh.refine import split_edges, unique_edges
from tests.mesh.shapes import ball, square


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_any_choice_of_edges_leaves_the_same_closed_surface(share: float) -> None:
    mesh = ball(0.6, lambda xyz: xyz * 0.5 + 0.5, resolution=16)
    edges, edge_of = unique_edges(mesh.faces_F3)
    marked = np.random.default_rng(1).random(len(edges)) < share
    finer = split_edges(mesh, edges, edge_of, marked)
    assert is_watertight(finer.faces_F3)
    assert len(finer.vertices_N3) == len(mesh.vertices_N3) + marked.sum()
    assert len(finer.faces_F3) == len(mesh.faces_F3) + 2 * marked.sum()
    volumes = [float(face_volumes(one.vertices_N3, one.faces_F3).sum()) for one in (mesh, finer)]
    assert volumes[1] == pytest.approx(volumes[0], rel=1e-5)
    areas = [float(np.linalg.norm(face_crosses(one.vertices_N3, one.faces_F3), axis=1).sum()) for one in (mesh, finer)]
    assert areas[1] == pytest.approx(areas[0], rel=1e-5)
    assert finer.colors_N3 == pytest.approx(finer.vertices_N3 * 0.5 + 0.5, abs=1e-5)
    assert np.linalg.norm(finer.normals_N3, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_every_edge_is_found_once() -> None:
    edges, edge_of = unique_edges(square().faces_F3)
    assert sorted(map(tuple, edges.tolist())) == [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]
    for face, sides in zip(square().faces_F3, edge_of, strict=True):
        for k in range(3):
            assert set(edges[sides[k]]) == {face[k], face[(k + 1) % 3]}
