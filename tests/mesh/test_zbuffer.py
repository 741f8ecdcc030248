from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.mesh.zbuffer import nearest_faces


def test_the_nearer_of_two_faces_is_seen() -> None:
    x = np.array([[0, 0, 8, 0, 0, 8]], np.float32)
    y = np.array([[0, 8, 8, 0, 8, 8]], np.float32)
    depth = np.array([[5, 5, 5, 2, 2, 2]], np.float32)
    hits = nearest_faces(x, y, np.reciprocal(depth), np.array([[0, 1, 2], [3, 4, 5]]), 8)
    assert set(hits.face_P) == {1}
    assert 1 / hits.nearness_P == pytest.approx(2.0)
    turned = nearest_faces(x, y, np.reciprocal(depth), np.array([[0, 1, 2], [5, 4, 3]]), 8)
    assert set(turned.face_P) == {0}


def test_weights_are_those_of_the_plane_in_space() -> None:
    # A face that leaves from depth 1 to depth 4: half way in the picture is not half way along it.
    corners = np.array([[-1, -1, 1], [-4, 4, 4], [4, 4, 4]], np.float32)  # camera x, camera y down, depth
    x, y = 32 + 20 * corners[:, 0] / corners[:, 2], 32 + 20 * corners[:, 1] / corners[:, 2]
    hits = nearest_faces(x[None], y[None], np.reciprocal(corners[None, :, 2]), np.array([[0, 1, 2]]), 64)
    assert len(hits.pixel_P) > 300
    there = hits.interpolate(np.array([[0, 1, 2]]), corners)
    row, column = np.divmod(hits.pixel_P, 64)
    assert there[:, 2] == pytest.approx(1 / hits.nearness_P, rel=1e-4)
    assert 32 + 20 * there[:, 0] / there[:, 2] == pytest.approx(column + 0.5, abs=1e-2)
    assert 32 + 20 * there[:, 1] / there[:, 2] == pytest.approx(row + 0.5, abs=1e-2)


def test_neighbours_share_pixels_without_gap_or_overlap() -> None:
    rng = np.random.default_rng(3)
    middle = rng.uniform(4, 60, 2)
    ring = np.array([[0, 0], [0, 64], [64, 64], [64, 0]])
    points = np.concatenate([ring, middle[None]]).astype(np.float32)
    faces = np.array([[k, (k + 1) % 4, 4] for k in range(4)])
    flat = np.ones((1, 5), np.float32)
    together = nearest_faces(points[None, :, 0], points[None, :, 1], flat, faces, 64)
    assert len(together.pixel_P) == 64 * 64
    alone = [nearest_faces(points[None, :, 0], points[None, :, 1], flat, faces[k : k + 1], 64) for k in range(4)]
    assert sum(len(one.pixel_P) for one in alone) == 64 * 64


def test_views_are_drawn_each_on_its_own() -> None:
    x = np.array([[0, 0, 8], [0, 0, 4]], np.float32)
    y = np.array([[0, 8, 8], [0, 4, 4]], np.float32)
    both = nearest_faces(x, y, np.ones_like(x), np.array([[0, 1, 2]]), 8)
    for view in (0, 1):
        alone = nearest_faces(
            x[view : view + 1], y[view : view + 1], np.ones((1, 3), np.float32), np.array([[0, 1, 2]]), 8
        )
        mine = both.pixel_P[both.pixel_P // 64 == view] % 64
        assert np.array_equal(mine, alone.pixel_P)


def test_a_face_outside_the_picture_draws_nothing() -> None:
    x, y = np.array([[-9, -9, -1]], np.float32), np.array([[0, 8, 8]], np.float32)
    assert len(nearest_faces(x, y, np.ones_like(x), np.array([[0, 1, 2]]), 8).pixel_P) == 0
