"""Colours follow what an edit did to others like them."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.edit.transfer import KEPT_DETAIL, ColorTransfer
from lift3d_ray.types import Float32

YELLOW, GREEN, BLUE, BLACK = (
    np.array(rgb, np.float32) for rgb in ((0.9, 0.8, 0.1), (0.1, 0.5, 0.2), (0.1, 0.2, 0.9), (0.0, 0.0, 0.0))
)
RNG = np.random.default_rng(0)
PLACES = RNG.random((900, 2)).astype(np.float32)


def tiled(rgb: Float32, count: int = 900) -> Float32:
    return np.tile(rgb, (count, 1))


def test_what_had_one_colour_gets_one_colour_again() -> None:
    left = PLACES[:, :1] < 0.5
    before, after = np.where(left, YELLOW, GREEN), np.where(left, BLUE, BLACK)
    transfer = ColorTransfer(before, after, PLACES)
    # Where the picture had the other colour, a place of this one still becomes what this one became.
    got = transfer(np.stack([YELLOW, GREEN, YELLOW]), np.array([[0.1, 0.5], [0.1, 0.5], [0.9, 0.5]], np.float32))
    np.testing.assert_allclose(got, np.stack([BLUE, BLACK, BLUE]), atol=0.02)


def test_a_pattern_over_a_part_of_a_colour_stays_where_it_was_painted() -> None:
    tattoo = (np.abs(PLACES - 0.5) < 0.15).all(1, keepdims=True)
    assert tattoo.any()
    transfer = ColorTransfer(tiled(YELLOW), np.where(tattoo, BLACK, YELLOW), PLACES)
    np.testing.assert_allclose(transfer(YELLOW[None], np.array([[0.5, 0.5]], np.float32))[0], YELLOW, atol=0.02)


def test_halves_of_one_colour_painted_otherwise_are_so_behind_as_well() -> None:
    after = np.where(PLACES[:, :1] < 0.5, BLUE, GREEN)
    transfer = ColorTransfer(tiled(YELLOW), after, PLACES)
    got = transfer(tiled(YELLOW, 2), np.array([[0.1, 0.5], [0.9, 0.5]], np.float32))
    np.testing.assert_allclose(got, np.stack([BLUE, GREEN]), atol=0.02)


def test_a_colour_that_was_nowhere_seen_joins_the_one_most_like_it() -> None:
    transfer = ColorTransfer(tiled(YELLOW), tiled(BLUE), PLACES)
    got = transfer(GREEN[None], np.array([[0.5, 0.5]], np.float32))[0]
    assert np.linalg.norm(got - BLUE) <= KEPT_DETAIL + 0.02


def test_small_differences_are_kept() -> None:
    transfer = ColorTransfer(tiled(YELLOW), tiled(BLUE), PLACES)
    darker = transfer((YELLOW - 0.05)[None], np.array([[0.5, 0.5]], np.float32))[0]
    np.testing.assert_allclose(darker, BLUE - 0.05, atol=0.01)


def test_nothing_to_colour_is_nothing() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert ColorTransfer(tiled(YELLOW), tiled(BLUE), PLACES)(empty, np.zeros((0, 2), np.float32)).shape == (0, 3)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="and some, got 0, 0 and 0"):
        ColorTransfer(tiled(YELLOW, 0), tiled(BLUE, 0), PLACES[:0])
    with pytest.raises(ValueError, match="got 900, 3 and 900"):
        ColorTransfer(tiled(YELLOW), tiled(BLUE, 3), PLACES)
