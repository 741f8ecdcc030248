"""Tidying masks: crumbs and pin-holes go, handles and thin legs stay."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.errors import NoSubject
from lift3d_ray.subject.masks import bounding_box, clean_rim_colors, draw_in_rim, signed_distance, tidy


def disc(size: int, radius: float, x: float, y: float) -> np.ndarray:
    grid = np.arange(size) + 0.5
    return (grid[None] - x) ** 2 + (grid[:, None] - y) ** 2 <= radius**2


def test_the_box_is_half_open() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert bounding_box(mask) == (3, 2, 9, 5)
    with pytest.raises(NoSubject, match="empty"):
        bounding_box(np.zeros((4, 4), bool))


def test_crumbs_go_and_pieces_stay() -> None:
    body, piece, crumb = disc(200, 60, 80, 100), disc(200, 20, 170, 100), disc(200, 3, 20, 20)
    np.testing.assert_array_equal(tidy(body | piece | crumb), body | piece)
    np.testing.assert_array_equal(tidy(body | crumb, piece_part=0.0001), body | crumb)


def test_pinholes_are_filled_and_handles_are_not() -> None:
    body, pinhole, handle = disc(200, 80, 100, 100), disc(200, 2, 90, 90), disc(200, 15, 130, 120)
    np.testing.assert_array_equal(tidy(body & ~pinhole & ~handle), body & ~handle)


def test_a_small_corner_of_background_is_no_hole() -> None:
    mask = np.ones((100, 100), bool)
    mask[:2, :2] = False
    np.testing.assert_array_equal(tidy(mask), mask)
    assert not tidy(np.zeros((5, 5), bool)).any()


def test_the_rim_is_drawn_in_in_proportion_and_thin_parts_stay() -> None:
    body = disc(600, 150, 300, 220)
    pole = np.zeros((600, 600), bool)
    pole[360:580, 299:301] = True
    drawn = draw_in_rim(body | pole)
    assert drawn[400:570, 299:301].all()
    assert bounding_box(drawn)[:3] == (152, 72, 448)  # 2 pixels: 0.4 % of the 511 from the disc's top to the pole's end
    small = disc(80, 30, 40, 40)
    np.testing.assert_array_equal(draw_in_rim(small), small)


def test_a_subject_cut_by_the_picture_keeps_that_edge() -> None:
    mask = np.zeros((400, 400), bool)
    mask[100:400, 50:350] = True
    drawn = draw_in_rim(mask)
    assert bounding_box(drawn) == (51, 101, 349, 400)


def test_distance_is_signed_and_counts_from_the_edge() -> None:
    mask = np.zeros((9, 9), bool)
    mask[:, 4:] = True
    assert signed_distance(mask)[4].tolist() == [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]


def test_rim_colours_come_from_inside() -> None:
    alpha = disc(128, 40, 64, 64).astype(np.float32)
    rgb = np.where(disc(128, 37, 64, 64)[..., None], (200, 0, 0), (0, 0, 200)).astype(np.uint8)
    assert (rgb[alpha > 0][:, 2] > 0).any()
    clean = clean_rim_colors(rgb, alpha, 4)
    assert (clean[alpha > 0] == (200, 0, 0)).all()
    assert (clean[0, 0] == (0, 0, 200)).all()
    assert (clean[64, 64 + 41] == (200, 0, 0)).all()  # painted a little beyond the rim


def test_parts_without_an_inside_keep_their_colours() -> None:
    alpha = disc(128, 20, 40, 64).astype(np.float32)
    alpha[63:65, 40:120] = 1
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[disc(128, 21, 40, 64)] = (200, 0, 0)
    rgb[63:65, 75:] = (0, 200, 0)
    assert (clean_rim_colors(rgb, alpha, 2)[64, 75:118] == (0, 200, 0)).all()
    only_line = np.zeros((128, 128), np.float32)
    only_line[64] = 1
    np.testing.assert_array_equal(clean_rim_colors(rgb, only_line, 2), rgb)
