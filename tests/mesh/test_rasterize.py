from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import Framing, orbit_c2w, pixel_rays
from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.rasterize import normal_colors, rasterize
from tests.mesh.shapes import ball, flat, joined, square

FRONT = orbit_c2w(0, 0)


@pytest.mark.parametrize("framing", [Framing(), Framing(focal_scale=1.3, shift_x=0.2, shift_y=-0.1)])
def test_a_sphere_agrees_with_the_formula(framing: Framing) -> None:
    c2w = orbit_c2w([0, 50, 200], [0, 25, -40])
    views = rasterize(ball(0.7, resolution=64), c2w, size=96, framing=framing)
    origins, rays = pixel_rays(c2w, 96, framing=framing)
    a, b = (rays**2).sum(-1), (origins * rays).sum(-1)
    under = b**2 - a * ((origins**2).sum(-1) - 0.7**2)
    depth = (-b - np.sqrt(np.maximum(under, 0))) / a
    inside = (under > 0.15) & (views.alpha_VHW == 1)
    assert inside.sum() > 1000
    assert np.abs(views.depth_VHW - depth)[inside].max() < 0.01
    # The silhouette differs by less than half a pixel's ring.
    assert ((under > 0) != (views.alpha_VHW > 0.5)).mean() < 0.005
    assert views.depth_VHW[views.alpha_VHW == 0].max() == 0
    points = origins + depth[..., None] * rays
    error = np.linalg.norm(views.normal_VHWC - points / 0.7, axis=-1)
    assert error[inside].max() < 0.1


def test_colours_are_carried_and_white_lies_behind() -> None:
    mesh = ball(0.7, lambda xyz: np.clip(xyz * 0.5 + 0.5, 0, 1))
    views = rasterize(mesh, FRONT, size=65)
    middle = views.rgb_VHWC[0, 32, 32]
    assert middle == pytest.approx([0.5, 0.5, 0.85], abs=0.01)
    assert (views.rgb_VHWC[0, 0, 0] == 1).all()
    rim = (views.alpha_VHW[0] > 0) & (views.alpha_VHW[0] < 1)
    assert rim.any()
    assert views.rgb_VHWC[0][rim].max() <= 1


def test_right_is_right_and_up_is_up() -> None:
    mesh = joined(ball(0.2, flat(1, 0, 0), centre=(0.6, 0, 0)), ball(0.2, flat(0, 1, 0), centre=(0, 0.6, 0)))
    rgb = rasterize(mesh, FRONT, size=64).rgb_VHWC[0]
    assert rgb[32, 50] == pytest.approx([1, 0, 0], abs=0.01)
    assert rgb[13, 32] == pytest.approx([0, 1, 0], abs=0.01)
    from_right = rasterize(mesh, orbit_c2w(90, 0), size=64).rgb_VHWC[0]
    assert from_right[32, 32] == pytest.approx([1, 0, 0], abs=0.01)


def test_an_open_surface_is_seen_from_behind_too() -> None:
    mesh = square(side=1.0, rgb=(1, 0, 0))
    for azimuth in (0, 180):
        views = rasterize(mesh, orbit_c2w(azimuth, 0), size=32)
        assert views.rgb_VHWC[0, 16, 16] == pytest.approx([1, 0, 0])
        assert views.depth_VHW[0, 16, 16] == pytest.approx(3.2, abs=1e-4)


def test_what_lies_in_front_hides_what_lies_behind() -> None:
    mesh = joined(square(z=-0.5, side=1.5, rgb=(0, 0, 1)), square(z=0.5, side=0.5, rgb=(1, 0, 0)))
    rgb = rasterize(mesh, FRONT, size=64).rgb_VHWC[0]
    assert rgb[32, 32] == pytest.approx([1, 0, 0])
    assert rgb[32, 18] == pytest.approx([0, 0, 1])


def test_normals_are_shown_as_the_camera_sees_them() -> None:
    for azimuth in (0.0, 120.0):
        c2w = orbit_c2w(azimuth, 20.0)
        picture = normal_colors(rasterize(ball(0.7), c2w, size=65), c2w)[0]
        assert picture[32, 32].astype(int) == pytest.approx([128, 128, 255], abs=4)
        assert (picture[0, 0] == 255).all()


def test_supersampling_is_the_mean_of_a_finer_picture() -> None:
    mesh = ball(0.7, lambda xyz: np.clip(xyz * 0.5 + 0.5, 0, 1))
    fine = rasterize(mesh, FRONT, size=64, supersample=1)
    coarse = rasterize(mesh, FRONT, size=32, supersample=2)
    mean = fine.rgb_VHWC[0].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert coarse.rgb_VHWC[0] == pytest.approx(mean, abs=1e-5)


def test_many_views_equal_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lift3d_ray.mesh.rasterize._SAMPLES_A_CHUNK", 3 * 64 * 64)
    mesh = ball(0.7, resolution=24)
    c2w = orbit_c2w(np.arange(8) * 45.0, 10.0)
    together = rasterize(mesh, c2w, size=32)
    for k in range(8):
        alone = rasterize(mesh, c2w[k : k + 1], size=32)
        assert np.array_equal(together.rgb_VHWC[k], alone.rgb_VHWC[0])
        assert np.array_equal(together.depth_VHW[k], alone.depth_VHW[0])


def test_a_camera_inside_is_refused() -> None:
    with pytest.raises(ConfigError, match="move the camera back"):
        rasterize(ball(0.7), orbit_c2w(0, 0, 0.5), size=16)
    with pytest.raises(ConfigError, match="size and supersample"):
        rasterize(ball(0.7), FRONT, size=0)
