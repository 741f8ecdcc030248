from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import Framing, orbit_c2w
from lift3d_ray.mesh.colors import color_mesh
from lift3d_ray.mesh.geometry import unit
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.symmetry import SymmetryPlane, find_symmetry, mirrored_points, mirrored_view
from lift3d_ray.types import Float32, Mesh
from tests.mesh.shapes import ball, flat, joined, photographed


def animal(azimuth_deg: float, shift: float = 0.0) -> Mesh:
    """A body with a head in front and two ears: symmetric about one vertical plane alone, moved along its normal."""
    turn = np.deg2rad(azimuth_deg)
    normal, ahead = np.array([np.sin(turn), 0, np.cos(turn)]), np.array([np.cos(turn), 0, -np.sin(turn)])

    def at(side: float, up: float, forward: float) -> tuple[float, float, float]:
        x, y, z = normal * (side + shift) + np.array([0, up, 0]) + ahead * forward
        return float(x), float(y), float(z)

    parts = [(0.4, at(0, -0.1, -0.1)), (0.2, at(0, 0.2, 0.45)), (0.12, at(0.2, 0.45, 0.4)), (0.12, at(-0.2, 0.45, 0.4))]
    return joined(*(ball(radius, centre=centre, resolution=32) for radius, centre in parts))


@pytest.mark.parametrize(("azimuth", "shift"), [(90.0, 0.0), (40.0, 0.05), (0.0, -0.04), (151.0, 0.0)])
def test_the_plane_of_an_animal_is_found(azimuth: float, shift: float) -> None:
    mesh = animal(azimuth, shift)
    plane = find_symmetry(mesh.vertices_N3, mesh.faces_F3)
    off = (plane.azimuth_deg - azimuth + 90) % 180 - 90
    assert abs(off) <= 4
    assert abs(plane.offset) == pytest.approx(abs(shift), abs=0.03)
    assert plane.error < 0.03


def test_what_has_no_symmetry_says_so() -> None:
    lumps = [(0.4, (0.0, -0.3, 0.0)), (0.2, (0.5, 0.3, 0.1)), (0.15, (-0.2, 0.5, 0.5)), (0.1, (-0.5, 0.1, -0.5))]
    mesh = joined(*(ball(radius, centre=centre, resolution=32) for radius, centre in lumps))
    assert find_symmetry(mesh.vertices_N3, mesh.faces_F3).error > 0.05


def test_what_looks_alike_from_all_round_keeps_its_back() -> None:
    mesh = ball(0.6)
    assert abs(find_symmetry(mesh.vertices_N3, mesh.faces_F3).normal_3[2]) < 0.3


def test_the_mirrored_camera_sees_mirrored_points_at_mirrored_pixels() -> None:
    c2w, framing = orbit_c2w(0, 25)[0], Framing(focal_scale=1.3, shift_x=0.1, shift_y=-0.2)
    subject = photographed(ball(0.5, flat(0.8, 0.2, 0.2)), c2w, framing=framing)
    view = PhotoView(subject=subject, c2w_44=c2w, framing=framing)
    plane = SymmetryPlane(azimuth_deg=35.0, offset=0.1, error=0.0)
    twin = mirrored_view(view, plane)
    assert np.linalg.det(twin.c2w_44[:3, :3]) == pytest.approx(1, abs=1e-5)
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (50, 3)).astype(np.float32)
    xy, depth = view.project(points)
    twin_xy, twin_depth = twin.project(mirrored_points(points, plane))
    assert twin_xy[:, 0] == pytest.approx(view.size_px - xy[:, 0], abs=2e-3)
    assert twin_xy[:, 1] == pytest.approx(xy[:, 1], abs=2e-3)
    assert twin_depth == pytest.approx(depth, abs=1e-4)
    assert np.array_equal(twin.subject.rgb_HWC, subject.rgb_HWC[:, ::-1])


def test_the_hidden_half_takes_the_photo_s_mirror_image_and_the_seen_half_the_photo() -> None:
    def stripes(xyz: Float32) -> Float32:
        """Left and right alike, up and down not."""
        return np.stack([np.sin(9 * xyz[:, 1]) > 0, np.abs(xyz[:, 0]) > 0.3, np.zeros(len(xyz))], 1).astype(np.float32)

    c2w = orbit_c2w(60, 10)[0]
    truth = ball(0.7, stripes, resolution=64)
    view = PhotoView(subject=photographed(truth, c2w, size=256), c2w_44=c2w)
    twin = mirrored_view(view, SymmetryPlane(azimuth_deg=90.0, offset=0.0, error=0.0))
    grey = flat(0.5, 0.5, 0.5)
    alone = color_mesh(truth.vertices_N3, truth.faces_F3, grey, view)
    both = color_mesh(truth.vertices_N3, truth.faces_F3, grey, view, twin=twin)

    def judged(mesh: Mesh, eye: Float32) -> Float32:
        clear = (mesh.normals_N3 * unit(eye - mesh.vertices_N3)).sum(-1) > 0.5
        # Where a stripe ends a pixel more or less decides.
        x, y = np.abs(mesh.vertices_N3[:, 0]), mesh.vertices_N3[:, 1]
        sure = (np.abs(np.sin(9 * y)) > 0.3) & (np.abs(x - 0.3) > 0.04)
        error = np.abs(mesh.colors_N3 - stripes(mesh.vertices_N3)).mean(-1)
        return np.asarray(error[clear & sure])

    away = twin.c2w_44[:3, 3]
    assert judged(alone, away).mean() > 0.25
    assert judged(both, away).mean() < 0.03
    assert judged(both, c2w[:3, 3]).mean() < 0.03
    assert len(both.faces_F3) > len(alone.faces_F3)
