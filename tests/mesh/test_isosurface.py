from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.errors import ConfigError, OptimizationFailed
from lift3d_ray.mesh.geometry import face_crosses, face_volumes, is_watertight, vertex_normals
from lift3d_ray.mesh.isosurface import extract_mesh, taubin_smooth
from tests.mesh.shapes import LEVEL, ball_density, grid


def test_a_ball_comes_out_as_a_sphere() -> None:
    vertices, faces = extract_mesh(ball_density(0.7), LEVEL)
    cell = 2 / 47
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.7).max() < 0.02 * cell
    assert is_watertight(faces)
    assert vertices.dtype == np.float32
    assert faces.dtype == np.int32
    assert float(face_volumes(vertices, faces).sum()) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.005)


def test_faces_are_wound_outwards() -> None:
    vertices, faces = extract_mesh(ball_density(0.5, centre=(0.2, -0.1, 0.3)), LEVEL)
    outward = vertices[faces].mean(axis=1) - np.array([0.2, -0.1, 0.3])
    assert (np.einsum("ij,ij->i", face_crosses(vertices, faces), outward) > 0).all()
    normals = vertex_normals(vertices, faces)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("centre", [(0.5, 0.0, 0.0), (0.0, -0.4, 0.0), (0.1, 0.2, 0.5)])
def test_grid_axes_are_world_axes(centre: tuple[float, float, float]) -> None:
    vertices, _ = extract_mesh(ball_density(0.3, centre=centre), LEVEL)
    assert vertices.mean(axis=0) == pytest.approx(centre, abs=0.01)


def test_extent_scales_the_cube() -> None:
    vertices, _ = extract_mesh(ball_density(0.5), LEVEL, extent=3.0)
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(1.5, abs=0.01)


def test_how_high_the_density_leaps_does_not_move_the_surface() -> None:
    x, y, z = grid(48)
    inside = np.sqrt(x * x + y * y + z * z) < 0.7
    volumes = []
    for high in (2 * LEVEL, 1000 * LEVEL):
        vertices, faces = extract_mesh(np.where(inside, high, 0).astype(np.float32), LEVEL)
        volumes.append(float(face_volumes(vertices, faces).sum()))
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-3)
    assert volumes[0] == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.03)


def test_level_zero_cuts_a_signed_field() -> None:
    vertices, faces = extract_mesh(ball_density(0.6) - LEVEL, 0.0)
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(0.6, abs=0.002)
    assert is_watertight(faces)


def test_cavities_are_filled() -> None:
    density = np.minimum(ball_density(0.7), 2 * LEVEL - ball_density(0.4))
    vertices, faces = extract_mesh(density, LEVEL)
    assert np.linalg.norm(vertices, axis=1).min() > 0.65
    assert float(face_volumes(vertices, faces).sum()) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)


def test_a_solid_cut_by_the_grid_is_closed() -> None:
    vertices, faces = extract_mesh(ball_density(0.6, centre=(0.8, 0, 0)), LEVEL)
    assert is_watertight(faces)
    assert 1.0 <= vertices[:, 0].max() < 1.0 + 1.1 / 47


def test_smoothing_irons_out_steps_and_keeps_the_volume() -> None:
    x, y, z = grid(48)
    steps = np.where(np.sqrt(x * x + y * y + z * z) < 0.7, 2 * LEVEL, 0).astype(np.float32)
    rough, faces = extract_mesh(steps, LEVEL)
    smooth = taubin_smooth(rough, faces, iterations=10)
    volumes = [float(face_volumes(vertices, faces).sum()) for vertices in (rough, smooth)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.01)
    deviations = [float(np.linalg.norm(vertices, axis=1).std()) for vertices in (rough, smooth)]
    assert deviations[1] < 0.7 * deviations[0]
    through_the_door, _ = extract_mesh(steps, LEVEL, smooth_iterations=10)
    assert np.array_equal(through_the_door, smooth)


def test_noise_comes_out_watertight() -> None:
    noise = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    noise[3, 4, 5] = 0.5  # exactly on the level
    _, faces = extract_mesh(noise, 0.5)
    assert is_watertight(faces)


def test_nothing_solid_is_a_failed_optimisation() -> None:
    with pytest.raises(OptimizationFailed, match="its maximum is 3"):
        extract_mesh(np.full((8, 8, 8), 3.0, np.float32), LEVEL)
    broken = ball_density(0.5, resolution=8)
    broken[1, 2, 3] = np.nan
    with pytest.raises(OptimizationFailed, match="not finite"):
        extract_mesh(broken, LEVEL)


@pytest.mark.parametrize(
    ("shape", "level", "extent", "passes", "word"),
    [
        ((8, 8), 1.0, 1.0, 0, "cube"),
        ((8, 8, 9), 1.0, 1.0, 0, "cube"),
        ((8, 8, 8), float("nan"), 1.0, 0, "level"),
        ((8, 8, 8), 1.0, 0.0, 0, "extent"),
        ((8, 8, 8), 1.0, 1.0, -1, "smooth_iterations"),
    ],
)
def test_arguments_that_make_no_sense(
    shape: tuple[int, ...], level: float, extent: float, passes: int, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        extract_mesh(np.ones(shape, np.float32), level, extent=extent, smooth_iterations=passes)
