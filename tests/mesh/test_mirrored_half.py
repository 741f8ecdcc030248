from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.mesh.colors import paint_field
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.mirrored_half import with_mirrored_half
from lift3d_ray.mesh.photo_view import PhotoView, depth_picture
from lift3d_ray.mesh.symmetry import SymmetryPlane
from lift3d_ray.types import Float32
from tests.mesh.shapes import LEVEL, ball_density, flat, photographed

MIDDLE = SymmetryPlane(azimuth_deg=90.0, offset=0.0, error=0.0)
NEAR, FAR = (0.5, 0.0, 0.0), (-0.5, 0.0, 0.0)


def body(*arms: tuple[float, float, float]) -> Float32:
    """A ball at the centre and small ones beside it."""
    parts = [ball_density(0.35), *(ball_density(0.12, centre=arm) for arm in arms)]
    return np.asarray(np.max(parts, axis=0), dtype=np.float32)


def photo_of(density: Float32, azimuth_deg: float) -> PhotoView:
    c2w = orbit_c2w(azimuth_deg, 0)[0]
    mesh = paint_field(*extract_mesh(density, LEVEL), flat(0.5, 0.5, 0.5))
    return PhotoView(subject=photographed(mesh, c2w), c2w_44=c2w)


@pytest.mark.parametrize("azimuth", [70.0, 110.0])
def test_an_arm_that_the_body_hides_grows_where_the_other_one_is_mirrored(azimuth: float) -> None:
    guess = body(NEAR)
    view = photo_of(body(NEAR, FAR), azimuth)
    vertices, faces = extract_mesh(guess, LEVEL)
    whole = with_mirrored_half(guess, vertices, faces, MIDDLE, view)
    truth = body(NEAR, FAR) > LEVEL
    lacking = truth & ~(guess > LEVEL)
    assert (whole > LEVEL)[lacking].mean() > 0.6
    # Nothing is taken away, and nothing grows where there is nothing.
    assert (whole >= guess).all()
    assert ((whole > LEVEL) & ~truth).sum() < 0.02 * truth.sum()


def test_the_photo_shows_what_it_showed() -> None:
    guess = body(NEAR)
    view = photo_of(body(NEAR, FAR), 65.0)
    vertices, faces = extract_mesh(guess, LEVEL)
    before = depth_picture(vertices, faces, view)
    after = depth_picture(*extract_mesh(with_mirrored_half(guess, vertices, faces, MIDDLE, view), LEVEL), view)
    shown = np.isfinite(before)
    assert (np.abs(after[shown] - before[shown]) < 0.02).mean() > 0.99


def test_what_is_whole_or_seen_from_the_plane_itself_is_given_back_as_it_was() -> None:
    for density, azimuth in ((body(NEAR), 0.0), (body(), 40.0)):
        view = photo_of(density, azimuth)
        vertices, faces = extract_mesh(density, LEVEL)
        whole = with_mirrored_half(density, vertices, faces, MIDDLE, view)
        np.testing.assert_array_equal(whole > LEVEL, density > LEVEL)
