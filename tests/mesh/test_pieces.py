"""Floaters go; what the photo shows stays, though it is small and broken off."""

from __future__ import annotations

import numpy as np

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.mesh.geometry import is_watertight, pieces_of
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.pieces import drop_floaters
from tests.mesh.shapes import ball, joined, photographed

FRONT = orbit_c2w(0.0, 0.0)[0]
BODY = ball(0.4, centre=(-0.3, 0, 0))
APART = (0.0, 0.75, 0.0)


def test_pieces_are_numbered() -> None:
    both = joined(BODY, ball(0.1, centre=APART))
    piece = pieces_of(both.faces_F3, len(both.vertices_N3))
    assert len(np.unique(piece)) == 2
    assert len(np.unique(piece[: len(BODY.faces_F3)])) == 1


def test_a_small_piece_that_the_photo_shows_stays() -> None:
    whole = joined(BODY, ball(0.1, centre=APART))
    view = PhotoView(subject=photographed(whole, FRONT), c2w_44=FRONT)
    vertices, faces = drop_floaters(whole.vertices_N3, whole.faces_F3, view)
    assert len(vertices) == len(whole.vertices_N3)
    assert is_watertight(faces)


def test_a_small_piece_that_the_photo_does_not_show_goes() -> None:
    view = PhotoView(subject=photographed(BODY, FRONT), c2w_44=FRONT)
    # Beside the subject, behind it, and before it: the photo asks for none of them.
    for centre in ((0.0, 0.75, 0.0), (-0.3, 0.0, -0.8), (-0.3, 0.0, 0.8)):
        fitted = joined(BODY, ball(0.1, centre=centre))
        vertices, faces = drop_floaters(fitted.vertices_N3, fitted.faces_F3, view)
        assert len(faces) == len(BODY.faces_F3)
        assert len(vertices) == len(BODY.vertices_N3)


def test_a_large_piece_stays_wherever_it_is() -> None:
    both = joined(BODY, ball(0.25, centre=(0.6, 0, -0.4)))
    view = PhotoView(subject=photographed(BODY, FRONT), c2w_44=FRONT)
    assert len(drop_floaters(both.vertices_N3, both.faces_F3, view)[1]) == len(both.faces_F3)
    assert len(drop_floaters(both.vertices_N3, both.faces_F3, view, min_volume=1.0)[1]) == len(BODY.faces_F3)


def test_a_speck_is_no_part_though_the_photo_shows_it() -> None:
    whole = joined(BODY, ball(0.03, centre=APART, resolution=96))
    view = PhotoView(subject=photographed(whole, FRONT), c2w_44=FRONT)
    assert len(drop_floaters(whole.vertices_N3, whole.faces_F3, view)[1]) == len(BODY.faces_F3)
