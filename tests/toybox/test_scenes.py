from __future__ import annotations

import numpy as np

from lift3d_ray.cameras import pixel_rays
from lift3d_ray.toybox import Split, render, sample_object, scene
from lift3d_ray.toybox.backgrounds import composite, framed
from tests.toybox.toys import cameras


def test_the_same_seed_gives_the_same_scene() -> None:
    one, two = scene(5, size=64), scene(5, size=64)
    np.testing.assert_array_equal(one.rgb, two.rgb)
    np.testing.assert_array_equal(one.ids, two.ids)


def test_main_masks_are_exact() -> None:
    whole = 0
    for seed in range(12):
        made = scene(seed, size=64)
        alone = render(made.obj, made.c2w[None], size=64, framing=made.framing)
        full = alone.alpha[0] >= 0.5
        in_front = made.ids > 1
        np.testing.assert_array_equal(made.mask, full & ~(in_front & full))
        assert made.mask.sum() > 0.85 * full.sum()
        np.testing.assert_array_equal(made.depth > 0, made.mask)
        np.testing.assert_array_equal(made.depth[made.mask], alone.depth[0][made.mask])
        whole += int(not in_front.any())
    assert 0 < whole < 12


def test_depth_and_framing_place_the_toy_in_its_world() -> None:
    made = scene(3, size=96)
    origins, rays = pixel_rays(made.c2w[None], 96, framing=made.framing)
    points = (origins[0] + made.depth[..., None] * rays[0])[made.mask]
    assert np.linalg.norm(points, axis=1).max() < 1.05


def test_the_main_toy_has_the_asked_size_and_place() -> None:
    toy = sample_object(2, split=Split.TRAIN)
    c2w = cameras((40, 25))
    framing = framed(toy, c2w[0], 0.5, (0.2, -0.1))
    rows, columns = np.nonzero(render(toy, c2w, size=200, framing=framing).alpha[0] > 0.5)
    assert abs(max(np.ptp(rows), np.ptp(columns)) + 1 - 100) <= 3
    assert abs((columns.min() + columns.max() + 1) / 2 - 120) <= 2
    assert abs((rows.min() + rows.max() + 1) / 2 - 110) <= 2


def test_composite_keeps_the_toy_and_shows_what_is_behind() -> None:
    toy = sample_object(2, split=Split.TRAIN)
    shots = render(toy, cameras((40, 25)), size=48)
    rgb, alpha = shots.rgb[0], shots.alpha[0]
    over_white = composite(rgb, alpha, np.ones_like(rgb))
    np.testing.assert_allclose(over_white, rgb, atol=1e-6)
    over_green = composite(rgb, alpha, np.zeros_like(rgb) + np.array([0, 1, 0], np.float32))
    np.testing.assert_allclose(over_green[alpha == 1], rgb[alpha == 1], atol=1e-6)
    np.testing.assert_array_equal(over_green[alpha == 0], np.broadcast_to([0, 1, 0], over_green[alpha == 0].shape))
