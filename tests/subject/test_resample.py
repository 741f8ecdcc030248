"""Resampling: exact areas, exact positions, known edges."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.subject.resample import Grid


def ramp(size: int) -> np.ndarray:
    """A picture whose value is the x position of the pixel's centre."""
    return np.broadcast_to(np.arange(size, dtype=np.float32) + 0.5, (size, size)).copy()


def test_same_scale_at_whole_pixels_copies() -> None:
    picture = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    np.testing.assert_allclose(Grid(x=3, y=5, span=8, size=8).sample(picture, replicate=True), picture[5:13, 3:11])


def test_shrinking_by_whole_numbers_is_the_mean_of_blocks() -> None:
    picture = np.random.default_rng(1).random((24, 24, 3), dtype=np.float32)
    blocks = picture.reshape(8, 3, 8, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(Grid(x=0, y=0, span=24, size=8).sample(picture, replicate=True), blocks, atol=1e-6)


@pytest.mark.parametrize("span", [7.3, 16.0, 23.9, 40.5])
def test_positions_are_kept_in_both_directions(span: float) -> None:
    size, x = 16, 4.7
    wanted = x + (np.arange(size) + 0.5) * span / size
    seen = Grid(x=x, y=2.2, span=span, size=size).sample(ramp(64), replicate=True)
    # Averages of steps stray from the ramp by a part of a step; a shift of the grid would show as half a pixel.
    np.testing.assert_allclose(seen[5], wanted, atol=0.06)
    assert float((seen[5] - wanted).mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("span", [10.0, 90.0])
def test_outside_is_the_edge_or_nothing(span: float) -> None:
    ones = np.ones((32, 32), np.float32)
    grid = Grid(x=-span / 2, y=-span / 2, span=span, size=20)
    np.testing.assert_allclose(grid.sample(ones, replicate=True), 1, atol=1e-6)
    nothing = grid.sample(ones, replicate=False)
    assert nothing[:7].max() == 0
    assert nothing[16, 16] == pytest.approx(1)


def test_the_mass_of_a_mask_is_kept_when_shrinking() -> None:
    mask = np.zeros((60, 60), np.float32)
    mask[11:38, 7:50] = 1
    scale = 60 / 13
    assert Grid(x=0, y=0, span=60, size=13).sample(mask, replicate=False).sum() * scale**2 == pytest.approx(mask.sum())
