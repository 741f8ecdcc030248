import numpy as np
import pytest
from numpy.typing import NDArray

from lift3d_ray.cameras import CANONICAL, Framing, focal_px, half_width, orbit_c2w, pixel_rays
from lift3d_ray.errors import ConfigError, NoSubject
from lift3d_ray.field.init import (
    InitialField,
    guessed_field,
    inflated_half_thickness,
    initial_field,
    silhouette_hull,
)
from lift3d_ray.field.render import render_view
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.types import CoarseShape

SIZE = 96
FRAMINGS = [CANONICAL, Framing(focal_scale=1.3, shift_x=0.1, shift_y=-0.15)]


def ball_picture(
    radius: float, c2w: NDArray[np.float32], framing: Framing
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Alpha, disparity and picture of a ball at the origin, left half red, right half blue."""
    origins, directions = (v[0].astype(np.float64) for v in pixel_rays(c2w[None], SIZE, framing=framing))
    b, a = (origins * directions).sum(-1), (directions**2).sum(-1)
    root = b**2 - a * ((origins**2).sum(-1) - radius**2)
    alpha = (root > 0).astype(np.float32)
    inverse = a / (-b - np.sqrt(np.maximum(root, 0)))
    low, high = inverse[root > 0].min(), inverse[root > 0].max()
    disparity = np.where(root > 0, (inverse - low) / (high - low), 0).astype(np.float32)
    rgb = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    middle = int(SIZE / 2 * (1 + framing.shift_x))
    rgb[:, :middle][alpha[:, :middle] > 0] = (200, 30, 30)
    rgb[:, middle:][alpha[:, middle:] > 0] = (30, 30, 200)
    return alpha, disparity, rgb


def lifted(radius: float, framing: Framing, resolution: int = 48) -> tuple[InitialField, NDArray[np.float32]]:
    c2w = orbit_c2w(50.0, 20.0)[0]
    alpha, disparity, rgb = ball_picture(radius, c2w, framing)
    start = initial_field(
        alpha, disparity, rgb, c2w, framing, resolution=resolution, depth_range=(3.2 - radius, 3.2), thickness=1.0
    )
    return start, alpha


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_ball_s_picture_becomes_about_that_ball(framing: Framing) -> None:
    start, _ = lifted(0.6, framing)
    axis = np.linspace(-1, 1, 48)
    distance = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1), axis=-1)
    solid, truth = start.raw_density_RRR > 0, distance < 0.6
    assert (solid & truth).sum() / (solid | truth).sum() > 0.85
    # The range is used, and the ramp rises inwards.
    assert start.raw_density_RRR.min() == pytest.approx(-1, abs=1e-5)
    assert start.raw_density_RRR.max() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_seen_from_the_picture_s_camera_it_has_that_silhouette_and_color(framing: Framing) -> None:
    start, alpha = lifted(0.5, framing, resolution=64)
    field = VoxelField.from_volumes(start.raw_density_RRR, start.raw_rgb_RRR3)
    view = render_view(field, orbit_c2w(50.0, 20.0)[0], SIZE, sharpness=60.0, n_samples=128, framing=framing)
    seen, mask = view.opacity_HW.numpy() > 0.5, alpha > 0.5
    assert (seen & mask).sum() / (seen | mask).sum() > 0.94
    rows, columns = np.nonzero(mask)
    left, right = (rows.mean().astype(int), int(columns.mean()) - 8), (rows.mean().astype(int), int(columns.mean()) + 8)
    assert view.rgb_HW3[left].tolist() == pytest.approx([200 / 255, 30 / 255, 30 / 255], abs=0.03)
    assert view.rgb_HW3[right].tolist() == pytest.approx([30 / 255, 30 / 255, 200 / 255], abs=0.03)


def test_the_hull_holds_the_whole_guess_and_all_that_the_mask_allows() -> None:
    c2w = orbit_c2w(50.0, 20.0)[0]
    alpha, _, _ = ball_picture(0.5, c2w, CANONICAL)
    hull = silhouette_hull(alpha > 0.5, c2w, resolution=16)
    points = np.random.default_rng(0).uniform(-1, 1, (20000, 3))
    points = points[np.linalg.norm(points, axis=-1) < 0.5]
    cells = np.floor((points + 1) * 8).astype(int)
    assert hull[tuple(cells.T)].all()
    # A cone through the ball, not the whole ball: the corners and sides are gone.
    assert 0.05 < hull.mean() < 0.45


def test_the_hull_excludes_what_projects_beside_the_mask() -> None:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[:, : SIZE // 2] = True
    hull = silhouette_hull(mask, orbit_c2w(0.0, 0.0)[0], resolution=32)
    # At azimuth 0 the picture's left is world -x.
    assert hull[2:15, 16, 16].all()
    assert not hull[22:].any()


def test_a_disc_inflates_to_a_sphere_and_a_bar_to_a_cylinder() -> None:
    rows, columns = np.mgrid[:101, :101] - 50.0
    ball = inflated_half_thickness(np.hypot(rows, columns) < 40)
    assert ball[50, 50] == pytest.approx(40, abs=1.5)
    assert ball[50, 80] == pytest.approx(np.sqrt(40**2 - 30**2), abs=2.5)
    assert ball[50, 95] == 0.0
    # A thin arm on a thick body keeps its own thickness.
    figure = (np.hypot(rows, columns) < 25) | ((abs(rows) < 4) & (columns > 0))
    assert inflated_half_thickness(figure)[50, 92] < 8


def test_thickness_stretches_depth_only() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha, disparity, rgb = ball_picture(0.4, c2w, CANONICAL)
    volumes = [
        initial_field(alpha, disparity, rgb, c2w, resolution=48, thickness=factor).raw_density_RRR > 0
        for factor in (0.5, 1.0)
    ]
    depth = [int(v.any(axis=(0, 1)).sum()) for v in volumes]
    assert depth[0] < depth[1]
    assert volumes[0].any(axis=2).sum() == pytest.approx(volumes[1].any(axis=2).sum(), rel=0.1)


def test_nearness_in_the_picture_tilts_the_guess() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha = np.zeros((SIZE, SIZE), dtype=np.float32)
    alpha[40:56, 20:76] = 1
    disparity = np.broadcast_to(np.linspace(1, 0, SIZE, dtype=np.float32), (SIZE, SIZE)).copy()
    rgb = np.full((SIZE, SIZE, 3), 128, dtype=np.uint8)
    solid = initial_field(alpha, disparity, rgb, c2w, resolution=64).raw_density_RRR > 0
    z = np.linspace(-1, 1, 64)

    def middle(x: slice) -> float:
        return float((solid[x] * z).sum() / solid[x].sum())

    # The picture's left is near the camera, which stands at +z.
    assert middle(slice(20, 28)) > middle(slice(36, 44)) + 0.05


def test_a_longer_lens_makes_a_smaller_subject() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha, disparity, rgb = ball_picture(0.6, c2w, CANONICAL)
    near = initial_field(alpha, disparity, rgb, c2w, Framing(focal_scale=1.0), resolution=32)
    far = initial_field(alpha, disparity, rgb, c2w, Framing(focal_scale=2.0), resolution=32)
    shrunk = float((far.raw_density_RRR > 0).sum()) / float((near.raw_density_RRR > 0).sum())
    assert shrunk == pytest.approx(1 / 8, rel=0.35)
    assert focal_px(SIZE, framing=Framing(focal_scale=2.0)) == 2 * focal_px(SIZE)


def test_bad_input_is_refused_in_words() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha, disparity, rgb = ball_picture(0.6, c2w, CANONICAL)
    with pytest.raises(NoSubject, match="empty"):
        initial_field(np.zeros_like(alpha), disparity, rgb, c2w, resolution=16)
    with pytest.raises(ConfigError, match="one size"):
        initial_field(alpha, disparity[:-1], rgb, c2w, resolution=16)
    with pytest.raises(ConfigError, match="depth_range"):
        initial_field(alpha, disparity, rgb, c2w, resolution=16, depth_range=(3.0, 2.0))
    with pytest.raises(ConfigError, match="thickness"):
        initial_field(alpha, disparity, rgb, c2w, resolution=16, thickness=0.0)


def test_a_depth_that_is_not_trusted_does_not_matter() -> None:
    mask, rgb = np.zeros((48, 48), dtype=np.float32), np.full((48, 48, 3), 90, np.uint8)
    camera = orbit_c2w(0.0, 10.0)[0]
    mask[12:36, 10:40] = 1.0
    ramp = np.linspace(0, 1, 48, dtype=np.float32)[None].repeat(48, 0)
    plain, tilted, half = (
        initial_field(mask, depth, rgb, camera, resolution=24, depth_trust=trust).raw_density_RRR
        for depth, trust in ((np.full_like(ramp, 0.5), 0.0), (ramp, 0.0), (ramp, 0.5))
    )
    np.testing.assert_array_equal(plain, tilted)
    assert not np.array_equal(plain, half)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_true_solid_is_carved_as_it_is_and_painted_from_both_sides(framing: Framing) -> None:
    radius, c2w = 0.6, orbit_c2w(50.0, 20.0)[0]
    alpha, _, rgb = ball_picture(radius, c2w, framing)
    origins, directions = (v[0] for v in pixel_rays(c2w[None], 32, framing=framing))
    reach = 1.3 * half_width(framing)
    depth = 3.2 + ((np.arange(32) + 0.5) / 16 - 1) * reach
    points = origins[:, :, None] + directions[:, :, None] * depth[:, None].astype(np.float32)
    shape = CoarseShape(
        filled_SSD=(np.linalg.norm(points, axis=-1) < radius).astype(np.float32),
        back_rgb_SSC=np.broadcast_to(np.array([0.1, 0.9, 0.1], dtype=np.float32), (32, 32, 3)).copy(),
        depth_reach=1.3,
    )
    start = guessed_field(shape, alpha, rgb, c2w, framing, resolution=48)
    axis = np.linspace(-1, 1, 48)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    solid, truth = start.raw_density_RRR > 0, np.linalg.norm(grid, axis=-1) < radius
    assert (solid & truth).sum() / (solid | truth).sum() > 0.85
    towards = grid @ c2w[:3, 2]
    front, back = (start.raw_rgb_RRR3[truth & side].mean(0) for side in (towards > 0.4, towards < -0.4))
    assert front[1] == front.min() or front[1] < 0
    assert back[1] > 0 > max(back[0], back[2])


def test_where_the_guess_is_unsure_the_likeliest_slice_keeps_the_mask() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha = np.zeros((SIZE, SIZE), dtype=np.float32)
    alpha[20:76, 44:52] = 1
    likely = np.full((32, 32, 32), 0.05, dtype=np.float32)
    likely[..., 14:18] = 0.2
    shape = CoarseShape(filled_SSD=likely, back_rgb_SSC=np.full((32, 32, 3), 0.5, dtype=np.float32), depth_reach=0.9)
    rgb = np.full((SIZE, SIZE, 3), 120, dtype=np.uint8)
    start = guessed_field(shape, alpha, rgb, c2w, resolution=48)
    depth = np.flatnonzero((start.raw_density_RRR > 0).any(axis=(0, 1)))
    assert 5 <= len(depth) <= 8
    with pytest.raises(NoSubject):
        guessed_field(shape, np.zeros_like(alpha), rgb, c2w, resolution=48)


def test_a_stick_one_grid_point_wide_stays_solid() -> None:
    c2w = orbit_c2w(0.0, 0.0)[0]
    alpha = np.zeros((SIZE, SIZE), dtype=np.float32)
    alpha[10:86, 47:49] = 1
    shape = CoarseShape(
        filled_SSD=np.tile((np.abs(np.arange(32) - 15.5) < 2).astype(np.float32), (32, 32, 1)),
        back_rgb_SSC=np.full((32, 32, 3), 0.5, dtype=np.float32),
        depth_reach=0.9,
    )
    start = guessed_field(shape, alpha, np.full((SIZE, SIZE, 3), 120, dtype=np.uint8), c2w, resolution=49)
    solid = start.raw_density_RRR > 0
    assert solid.any(axis=(1, 2)).sum() == 1
    heights = np.flatnonzero(solid.any(axis=(0, 2)))
    assert len(heights) > 20
    assert np.array_equal(heights, np.arange(heights[0], heights[-1] + 1)), "without a gap"
