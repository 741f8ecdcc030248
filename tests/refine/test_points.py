"""The textured point cloud: on the surface, whole, and coloured by the photo where it sees it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lift3d_ray.cameras import Framing, orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.refine.occlusion import Viewpoint, depth_at, point_depth, visible
from lift3d_ray.refine.points import TexturedPoints, eroded, scene_extent, textured_points
from lift3d_ray.refine.viewpoints import (
    disparity_pictures,
    mesh_views,
    photo_viewpoint,
    surface_depth,
    viewpoints_around,
)
from lift3d_ray.types import Float32, Mesh
from tests.mesh.shapes import ball, flat, joined, photographed

RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
FRAMING = Framing(focal_scale=1.2, shift_x=0.05)


def cloud_of(painted: Mesh, truth: Mesh, *, size: int = 64) -> TexturedPoints:
    """The cloud of a mesh whose photo shows the truth instead."""
    c2w = orbit_c2w(0, 20)[0]
    subject = photographed(truth, c2w, size=96, framing=FRAMING)
    around = viewpoints_around(photo_viewpoint(c2w, 20.0, FRAMING), 12, (-20.0, 60.0))
    return textured_points(painted, subject, around, size=size)


@pytest.fixture(scope="module")
def half_red() -> TexturedPoints:
    return cloud_of(ball(0.6, flat(*BLUE)), ball(0.6, flat(*RED)))


def test_points_lie_on_the_surface(half_red: TexturedPoints) -> None:
    radius = np.linalg.norm(half_red.xyz_N3, axis=1)
    assert np.abs(radius - 0.6).max() < 0.02
    assert np.abs(half_red.normals_N3 - half_red.xyz_N3 / radius[:, None]).max() < 0.15


def test_the_cloud_has_no_gaps(half_red: TexturedPoints) -> None:
    mesh = ball(0.6)
    above = mesh.vertices_N3[mesh.vertices_N3[:, 1] > -0.45]
    gap, _ = cKDTree(half_red.xyz_N3).query(above)
    pixel = 2 * 3.2 * np.tan(np.radians(20)) / 64
    assert gap.max() < 1.5 * pixel


def test_the_photo_colours_what_it_sees_and_the_mesh_the_rest(half_red: TexturedPoints) -> None:
    seen = half_red.canonical_N
    assert half_red.rgb_N3[seen] == pytest.approx(np.tile(np.array(RED, np.float32), (seen.sum(), 1)), abs=0.02)
    assert half_red.rgb_N3[~seen] == pytest.approx(np.tile(np.array(BLUE, np.float32), ((~seen).sum(), 1)), abs=0.02)
    toward = half_red.xyz_N3 @ orbit_c2w(0, 20)[0, :3, 2] / 0.6
    assert toward[seen].min() > 0
    assert 0.1 < seen.mean() < 0.5
    # No point in the old colour stands in the middle of what the photo shows.
    assert toward[~seen].max() < 0.6


def test_what_stands_behind_is_not_coloured_by_the_photo() -> None:
    front, back = ball(0.25, flat(*RED), centre=(0, 0, 0.5)), ball(0.25, flat(*BLUE), centre=(0, 0, -0.5))
    points = cloud_of(joined(front, back), joined(front, back))
    behind = points.xyz_N3[:, 2] < 0
    blue = np.abs(points.rgb_N3 - np.array(BLUE, np.float32)).max(axis=1) < 0.05
    assert blue[behind].mean() > 0.97
    assert not blue[~behind].any()


def test_widths_follow_the_resolution() -> None:
    for size in (32, 64, 128):
        mask = np.zeros((size, size), dtype=bool)
        mask[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = True
        share = 0.05
        assert eroded(mask, share).sum() == (size // 2 - 2 * round(share * size)) ** 2


def test_thin_parts_survive_erosion() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[10:40, 10:40] = True
    mask[20:22, 40:60] = True
    kept = eroded(mask, 0.03)
    assert kept[20:22, 46:60].all()
    assert not kept[10, 10:40].any()


def test_the_z_buffer_keeps_the_nearest() -> None:
    xy = np.array([[0.5, 0.5], [0.9, 0.2], [3.5, 1.5], [9.0, 0.5], [1.5, 1.5]], np.float32)
    depth = np.array([2.0, 1.0, 3.0, 1.0, -1.0], np.float32)
    buffer = point_depth(xy, depth, 4)
    assert buffer[0, 0] == 1.0
    assert buffer[1, 3] == 3.0
    assert np.isinf(buffer).sum() == 14
    assert depth_at(buffer, np.array([[1.5, 1.5], [2.5, 3.5], [-1, 0]], np.float32)).tolist() == [1.0, np.inf, np.inf]


def test_a_mesh_hides_what_is_behind_it() -> None:
    mesh = joined(ball(0.25, centre=(0, 0, 0.5)), ball(0.25, centre=(0, 0, -0.5)))
    viewpoint = Viewpoint(azimuth_deg=0, elevation_deg=0, c2w_44=orbit_c2w(0, 0)[0])
    depth = surface_depth(mesh_views(mesh, (viewpoint,), 64)[0])
    seen = visible(mesh.vertices_N3, mesh.normals_N3, depth, viewpoint, scene_extent(mesh))
    assert seen[(mesh.vertices_N3[:, 2] > 0) & (mesh.normals_N3[:, 2] > 0.3)].all()
    middle = np.linalg.norm(mesh.vertices_N3[:, :2], axis=1) < 0.2
    assert not seen[middle & (mesh.vertices_N3[:, 2] < 0)].any()
    assert not seen[mesh.normals_N3[:, 2] < -0.1].any()


def test_viewpoints_start_at_the_photo_and_go_all_round() -> None:
    photo = photo_viewpoint(orbit_c2w(0, 10)[0], 10.0, FRAMING)
    around = viewpoints_around(photo, 8, (-10.0, 50.0))
    assert around[0] is photo
    assert sorted(v.azimuth_deg for v in around[1:]) == pytest.approx(np.arange(8) * 45 - 157.5)
    elevations = [v.elevation_deg for v in around[1:]]
    assert -10 <= min(elevations) < 0
    assert 40 < max(elevations) <= 50
    with pytest.raises(ConfigError, match="1 or more novel viewpoints"):
        viewpoints_around(photo, 0, (0.0, 10.0))


def test_disparity_is_largest_in_front_and_zero_outside() -> None:
    viewpoint = Viewpoint(azimuth_deg=0, elevation_deg=0, c2w_44=orbit_c2w(0, 0)[0])
    picture: Float32 = disparity_pictures(mesh_views(ball(0.6), (viewpoint,), 33))[0, 0]
    assert picture.shape == (33, 33)
    assert picture.max() == picture[16, 16] == 1
    assert picture[0, 0] == 0
    assert picture[picture > 0].min() == pytest.approx(1 / 255)
