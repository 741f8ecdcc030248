"""Clouds seen by cameras, stood in photos, and made solid."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import Framing, orbit_c2w, project
from lift3d_ray.errors import NoSubject
from lift3d_ray.field.cloud import sparse_depth, splat, stood_in_photo
from lift3d_ray.field.init import guessed_field
from lift3d_ray.types import ColoredPoints

FRONT = orbit_c2w(0.0, 0.0)[0]


def sphere(radius: float = 0.6, count: int = 1500, *, stretch: tuple[float, float, float] = (1, 1, 1)) -> ColoredPoints:
    """A ball's surface, red in front (+Z) and blue behind."""
    normal = np.random.default_rng(0).normal(size=(count, 3))
    xyz = radius * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    rgb = np.where(xyz[:, 2:] > 0, [[0.9, 0.1, 0.1]], [[0.1, 0.1, 0.9]])
    return ColoredPoints(xyz_N3=(xyz * stretch).astype(np.float32), rgb_N3=rgb.astype(np.float32))


def two_points() -> ColoredPoints:
    return ColoredPoints(
        xyz_N3=np.array([[0, 0, 0.5], [0, 0, -0.5]], dtype=np.float32),
        rgb_N3=np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32),
    )


def mask_of(points: ColoredPoints, c2w: np.ndarray, framing: Framing, size: int = 96) -> np.ndarray:
    return (splat(points, c2w, size=size, framing=framing, radius=0.06).depth_HW > 0).astype(np.float32)


def test_the_nearest_point_is_shown_and_the_farthest_on_request() -> None:
    near = splat(two_points(), FRONT, size=33)
    np.testing.assert_allclose(near.rgb_HWC[16, 16], [1, 0, 0])
    assert near.depth_HW[16, 16] == pytest.approx(2.7, abs=1e-5)
    far = splat(two_points(), FRONT, size=33, farthest=True)
    np.testing.assert_allclose(far.rgb_HWC[16, 16], [0, 0, 1])
    assert far.depth_HW[16, 16] == pytest.approx(3.7, abs=1e-5)
    np.testing.assert_allclose(near.rgb_HWC[0, 0], 1)
    assert near.depth_HW[0, 0] == 0


def test_points_land_where_the_camera_projects_them() -> None:
    framing, camera = Framing(focal_scale=1.5, shift_x=0.2, shift_y=-0.1), orbit_c2w(30.0, 20.0)[0]
    one = ColoredPoints(xyz_N3=np.array([[0.1, 0.3, -0.2]], dtype=np.float32), rgb_N3=np.zeros((1, 3), np.float32))
    xy, depth = project(one.xyz_N3, camera, 64, framing=framing)
    seen = splat(one, camera, size=64, framing=framing, radius=0.0).depth_HW
    assert np.argwhere(seen > 0).tolist() == [[int(xy[0, 1]), int(xy[0, 0])]]
    assert seen.max() == pytest.approx(depth[0])


def test_discs_have_their_radius_and_points_behind_the_camera_none() -> None:
    one = ColoredPoints(xyz_N3=np.zeros((1, 3), np.float32), rgb_N3=np.zeros((1, 3), np.float32))
    covered = (splat(one, FRONT, size=200, radius=0.5).depth_HW > 0).sum()
    half = 0.5 * 200 / (2 * 3.2 * np.tan(np.deg2rad(20)))
    assert covered == pytest.approx(np.pi * half**2, rel=0.03)
    behind = ColoredPoints(xyz_N3=np.array([[0, 0, 9]], np.float32), rgb_N3=np.zeros((1, 3), np.float32))
    assert not splat(behind, FRONT, size=20).depth_HW.any()


def test_sparse_depth_is_one_at_the_nearest_point_and_tells_the_farthest_from_nothing() -> None:
    disparity = sparse_depth(sphere(), FRONT, size=64)
    assert disparity.shape == (64, 64)
    assert disparity.max() == 1
    assert disparity[disparity > 0].min() == pytest.approx(1 / 255)
    assert disparity[0, 0] == 0
    assert (disparity == 0).mean() > 0.5
    unseen = ColoredPoints(xyz_N3=np.full((1, 3), 9, np.float32), rgb_N3=np.zeros((1, 3), np.float32))
    assert not sparse_depth(unseen, FRONT, size=8).any()


def test_a_cloud_is_stood_in_the_box_of_its_subject() -> None:
    framing, camera = Framing(focal_scale=1.3, shift_x=0.1, shift_y=0.15), orbit_c2w(0.0, 25.0)[0]
    mask = mask_of(sphere(0.7), camera, framing)
    stood = stood_in_photo(sphere(0.4), mask, camera, framing)
    xy, _ = project(stood.xyz_N3, camera, 96, framing=framing)
    rows, columns = np.nonzero(mask)
    np.testing.assert_allclose([xy[:, 0].min(), xy[:, 1].min()], [columns.min(), rows.min()], atol=1.5)
    np.testing.assert_allclose([xy[:, 0].max(), xy[:, 1].max()], [columns.max() + 1, rows.max() + 1], atol=1.5)


def test_a_cloud_that_does_not_face_the_photo_is_turned_until_it_agrees() -> None:
    long = sphere(0.8, stretch=(1.0, 0.4, 0.3))
    mask = mask_of(long, orbit_c2w(60.0, 15.0)[0], Framing())
    camera = orbit_c2w(0.0, 15.0)[0]
    unknown = ColoredPoints(xyz_N3=long.xyz_N3, rgb_N3=long.rgb_N3, faces_photo=False)
    turned, left = stood_in_photo(unknown, mask, camera), stood_in_photo(long, mask, camera)
    shown = [(mask_of(cloud, camera, Framing()) > 0) for cloud in (turned, left)]
    iou = [float((one & (mask > 0)).sum() / (one | (mask > 0)).sum()) for one in shown]
    assert turned.faces_photo
    assert iou[0] > 0.75
    assert iou[0] > iou[1] + 0.1


def test_a_cloud_becomes_a_solid_of_its_size_with_both_colours() -> None:
    ball, framing = sphere(0.6), Framing(focal_scale=1.2)
    mask = mask_of(ball, FRONT, framing)
    photo = np.full((96, 96, 3), 255, dtype=np.uint8)
    photo[mask > 0] = (230, 26, 26)
    guess = guessed_field(ball, mask, photo, FRONT, framing, resolution=48)
    radii = np.linalg.norm(np.stack(np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")), axis=0)
    inside = guess.raw_density_RRR > 0
    # The mask's discs make the photo's ball a tenth larger than the cloud.
    truth = radii < 0.66
    assert (inside & truth).sum() / (inside | truth).sum() > 0.85
    assert inside[24, 24, 24]
    rgb = 1 / (1 + np.exp(-guess.raw_rgb_RRR3))
    assert rgb[24, 24, 37, 0] > 0.8
    assert rgb[24, 24, 10, 2] > 0.8


def test_what_the_mask_shows_and_the_cloud_lacks_is_filled() -> None:
    ball, framing = sphere(0.4), Framing()
    mask = mask_of(ball, FRONT, framing)
    mask[12:20, 40:56] = 1
    mask[20:40, 46:50] = 1
    guess = guessed_field(ball, mask, np.zeros((96, 96, 3), dtype=np.uint8), FRONT, framing, resolution=48)
    seen = guess.raw_density_RRR > 0
    # The plate at the top stands at about the ball's depth.
    assert seen[:, 38:, :].any()
    depths = np.nonzero(seen[:, 38:, :].any(axis=(0, 1)))[0]
    assert 14 < depths.mean() < 34


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(NoSubject, match="empty"):
        stood_in_photo(sphere(), np.zeros((8, 8), np.float32), FRONT)
    with pytest.raises(NoSubject, match="empty"):
        guessed_field(sphere(), np.zeros((8, 8), np.float32), np.zeros((8, 8, 3), np.uint8), FRONT, resolution=8)
