"""Looking through toys: chords of balls, parts that reach into each other, and backs."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, orbit_c2w, pixel_rays
from lift3d_ray.toybox import Split, sample_object
from lift3d_ray.toybox.primitives import sphere
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.solidity import solid_view
from tests.toybox.toys import toy_of

SIZE = SLICES = 32


@pytest.mark.parametrize("framing", [Framing(), Framing(focal_scale=1.3, shift_x=0.1, shift_y=-0.2)])
def test_a_ball_is_filled_along_its_chords(framing: Framing) -> None:
    toy, camera = toy_of(sphere(1.0, segments=48, rings=25)), orbit_c2w(40.0, 20.0)[0]
    seen = solid_view(toy, camera, framing, size=SIZE, slices=SLICES)
    origins, directions = (v[0].astype(np.float64) for v in pixel_rays(camera[None], SIZE, framing=framing))
    depth = DEFAULT_RADIUS - 1 + (np.arange(SLICES) + 0.5) * 2 / SLICES
    points = origins[:, :, None] + directions[:, :, None] * depth[:, None]
    distance = np.linalg.norm(points, axis=-1)
    radius = np.linalg.norm(toy.vertices, axis=-1).max()
    certain, inside = np.asarray(np.abs(distance - radius) > 0.03), np.asarray(distance < radius)
    np.testing.assert_array_equal(seen.filled_SSD[certain], inside[certain])


def test_the_depth_range_is_as_asked() -> None:
    toy, camera = toy_of(sphere(1.0, segments=48, rings=25)), orbit_c2w(0.0, 0.0)[0]
    middle = [
        solid_view(toy, camera, Framing(), size=33, slices=SLICES, half_depth=reach).filled_SSD[16, 16]
        for reach in (1.0, 2.0)
    ]
    assert int(middle[0].sum()) == SLICES
    np.testing.assert_array_equal(np.flatnonzero(middle[1]), np.arange(SLICES // 4, SLICES * 3 // 4))


def test_parts_that_reach_into_each_other_are_one_solid() -> None:
    camera = orbit_c2w(90.0, 0.0)[0]
    apart = toy_of(sphere(0.5).move(x=-0.3), sphere(0.5).move(x=0.3))
    filled = solid_view(apart, camera, Framing(), size=SIZE, slices=SLICES).filled_SSD[SIZE // 2, SIZE // 2]
    inside = np.flatnonzero(filled)
    assert len(inside) > 20
    np.testing.assert_array_equal(inside, np.arange(inside[0], inside[-1] + 1))


def test_what_is_filled_is_what_is_seen_and_the_back_is_the_view_from_behind() -> None:
    toy, framing = sample_object(5, split=Split.TRAIN), Framing()
    camera = orbit_c2w(30.0, 10.0)
    seen = solid_view(toy, camera[0], framing, size=SIZE, slices=SLICES)
    alpha = render(toy, camera, size=SIZE).alpha[0]
    covered = np.asarray(seen.filled_SSD.any(axis=2))
    assert covered[alpha > 0.9].mean() > 0.97
    assert covered[alpha == 0].mean() < 0.01
    assert not seen.back_rgb_SSC[alpha == 0].any()
    behind = render(toy, orbit_c2w(210.0, -10.0), size=SIZE)
    mirrored = behind.rgb[0][:, ::-1][behind.alpha[0][:, ::-1] > 0.9].mean(0)
    np.testing.assert_allclose(seen.back_rgb_SSC[alpha > 0.9].mean(0), mirrored, atol=0.08)
