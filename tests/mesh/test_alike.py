from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.mesh.alike import color_by_likeness
from lift3d_ray.mesh.colors import project_photo
from lift3d_ray.mesh.photo_view import PhotoView, photo_weights
from lift3d_ray.types import Bool, Float32, Mesh
from tests.mesh.shapes import ball, photographed

GREY = 0.5


def banded(xyz: Float32) -> Float32:
    """Three bands around."""
    band = np.digitize(xyz[:, 1], (-0.2, 0.2))
    return np.array([(0.7, 0.4, 0.4), (0.5, 0.6, 0.4), (0.4, 0.4, 0.7)], dtype=np.float32)[band]


def checked(xyz: Float32) -> Float32:
    """Dark and light by turns around."""
    dark = np.sin(8 * np.arctan2(xyz[:, 0], xyz[:, 2])) > 0
    return np.where(dark[:, None], 0.25, 0.75).astype(np.float32) * np.ones(3, dtype=np.float32)


def white(xyz: Float32) -> Float32:
    return np.ones_like(xyz)


def shown(truth: Mesh) -> tuple[Mesh, PhotoView, Bool]:
    """A grey ball with a photo of the truth laid on, that photo, and which vertices lie well behind."""
    c2w = orbit_c2w(0, 10)[0]
    view = PhotoView(subject=photographed(truth, c2w, size=192), c2w_44=c2w)
    mesh = project_photo(ball(0.7), view)
    behind = (mesh.vertices_N3[:, 2] < -0.1) & (np.abs(mesh.vertices_N3[:, 1]) < 0.5)
    return mesh, view, np.asarray(behind)


def test_bands_go_round_what_is_turned() -> None:
    mesh, view, behind = shown(ball(0.7, banded))
    clear = behind & (np.abs(np.abs(mesh.vertices_N3[:, 1]) - 0.2) > 0.05)
    filled = color_by_likeness(mesh, photo_weights(mesh, view), 0.2)
    assert filled.colors_N3[clear] == pytest.approx(banded(mesh.vertices_N3)[clear], abs=0.03)
    assert mesh.colors_N3[clear] == pytest.approx(GREY, abs=1e-6)
    assert np.array_equal(filled.vertices_N3, mesh.vertices_N3)


def test_where_what_is_seen_disagrees_nothing_is_said() -> None:
    mesh, view, behind = shown(ball(0.7, checked))
    filled = color_by_likeness(mesh, photo_weights(mesh, view), 0.2)
    assert filled.colors_N3[behind] == pytest.approx(GREY, abs=0.02)


def test_what_contradicts_the_field_is_not_believed() -> None:
    mesh, view, behind = shown(ball(0.7, white))
    filled = color_by_likeness(mesh, photo_weights(mesh, view), 0.2)
    assert filled.colors_N3[behind] == pytest.approx(GREY, abs=0.02)


def test_what_the_photo_sees_stays_as_it_is() -> None:
    mesh, view, _ = shown(ball(0.7, banded))
    weight = photo_weights(mesh, view)
    front = weight > 0.999
    assert front.sum() > 500
    assert np.array_equal(color_by_likeness(mesh, weight, 0.2).colors_N3[front], mesh.colors_N3[front])
