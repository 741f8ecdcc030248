from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.types import Mesh
from tests.mesh.shapes import ball, joined, square


def test_points_lie_on_the_surface_with_its_colours_and_normals() -> None:
    points = sample_points(ball(0.7, lambda xyz: xyz * 0.5 + 0.5), 5000, np.random.default_rng(0))
    radius = np.linalg.norm(points.xyz_N3, axis=1)
    assert radius == pytest.approx(0.7, abs=0.003)
    assert points.normals_N3 == pytest.approx(points.xyz_N3 / radius[:, None], abs=0.05)
    assert points.rgb_N3 == pytest.approx(points.xyz_N3 * 0.5 + 0.5, abs=1e-4)
    assert np.linalg.norm(points.normals_N3, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(points.xyz_N3.mean(axis=0)).max() < 0.02


def test_density_follows_area() -> None:
    mesh = joined(square(z=0.0, side=2.0), square(z=1.0, side=1.0))
    points = sample_points(mesh, 5000, np.random.default_rng(0))
    assert (points.xyz_N3[:, 2] > 0.5).mean() == pytest.approx(0.2, abs=0.001)
    low = points.xyz_N3[points.xyz_N3[:, 2] < 0.5]
    counts, _, _ = np.histogram2d(low[:, 0], low[:, 1], bins=4, range=[[-1, 1], [-1, 1]])
    assert counts.min() > 0.8 * counts.mean()


def test_the_same_seed_draws_the_same_points() -> None:
    mesh = ball(0.7)
    one, other = (sample_points(mesh, 100, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.xyz_N3, other.xyz_N3)
    third = sample_points(mesh, 100, np.random.default_rng(6))
    assert not np.array_equal(one.xyz_N3, third.xyz_N3)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more points"):
        sample_points(ball(0.7), 0, np.random.default_rng(0))
    nothing = np.zeros((3, 3), np.float32)
    empty = Mesh(vertices_N3=nothing, faces_F3=np.array([[0, 1, 2]], np.int32), normals_N3=nothing, colors_N3=nothing)
    with pytest.raises(ConfigError, match="no area"):
        sample_points(empty, 10, np.random.default_rng(0))
