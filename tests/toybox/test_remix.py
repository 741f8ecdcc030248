"""Things of no class: still normalised, closed and lit from outside, and only where shapes are learnt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lift3d_ray.toybox import Split, sample_object
from lift3d_ray.toybox.mesh import Float
from lift3d_ray.toybox.primitives import box, sphere
from lift3d_ray.toybox.remix import bend_toy, join_toys, resize_parts, taper_toy
from lift3d_ray.toybox.toys import data_toy, shape_toy
from lift3d_ray.toybox.world import ToyObject
from tests.toybox.toys import assert_normalised, toy_of

CHANGES: list[Callable[[ToyObject, np.random.Generator], ToyObject]] = [resize_parts, taper_toy, bend_toy]


def _agreement(toy: ToyObject) -> Float:
    """(F,) cosine between the faces' own normals and the shading normals of their corners, of faces with an area."""
    corners = toy.vertices[toy.faces].astype(np.float64)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(flat, axis=1)
    smooth = toy.normals[toy.faces].mean(1)
    return np.asarray((flat / np.maximum(length, 1e-9)[:, None] * smooth).sum(1)[length > 1e-4], dtype=np.float32)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_toy_is_normalised(change: Callable[..., ToyObject], seed: int) -> None:
    toy = sample_object(seed, split=Split.TRAIN)
    changed = change(toy, np.random.default_rng(seed))
    assert_normalised(changed)
    assert np.abs(changed.vertices - toy.vertices).max() > 0.005
    np.testing.assert_array_equal(changed.faces, toy.faces)


@pytest.mark.parametrize("change", CHANGES)
def test_normals_follow_the_shape(change: Callable[..., ToyObject]) -> None:
    changed = change(toy_of(sphere(1.0, segments=64, rings=33)), np.random.default_rng(3))
    assert _agreement(changed).min() > 0.95


def test_pieces_of_one_size_stay_alike_and_others_do_not() -> None:
    legs = [box(0.1, 1.0, 0.1).move(x=x) for x in (-1.0, 1.0)]
    resized = resize_parts(toy_of(*legs, box(0.5, 0.2, 2.0)), np.random.default_rng(1))
    count = len(legs[0].vertices)
    sizes = [np.ptp(resized.vertices[k * count : (k + 1) * count], axis=0) for k in range(3)]
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=1e-4)
    ratio = sizes[2] / sizes[0] / (np.array([0.5, 0.2, 2.0]) / np.array([0.1, 1.0, 0.1]))
    assert np.abs(ratio - 1).max() > 0.02


def test_two_toys_become_one_thing() -> None:
    first, second = (sample_object(k, split=Split.TRAIN) for k in (1, 2))
    joined = join_toys(first, second, np.random.default_rng(0))
    assert len(joined.faces) == len(first.faces) + len(second.faces)
    assert joined.faces[len(first.faces) :].min() >= len(first.vertices)
    assert joined.faces.max() < len(joined.vertices)
    assert joined.face_paint.max() < len(joined.palette)
    assert np.linalg.norm(joined.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
    # The second one's faces take their own colours, whichever paints the first one has.
    assert (joined.face_paint[len(first.faces) :] >= len(first.palette)).all()


def test_every_second_shape_is_of_no_class_and_held_out_toys_are_as_they_are() -> None:
    for seed in range(16):
        named, shape = data_toy(seed, split=Split.TRAIN), shape_toy(seed, split=Split.TRAIN)
        again = shape_toy(seed, split=Split.TRAIN)
        np.testing.assert_array_equal(shape.vertices, again.vertices)
        if seed % 8 < 4:
            np.testing.assert_array_equal(shape.vertices, named.vertices)
        held_out = shape_toy(seed, split=Split.HELD_OUT)
        np.testing.assert_array_equal(held_out.vertices, sample_object(seed, split=Split.HELD_OUT).vertices)
    changed = [
        not np.array_equal(data_toy(k, split=Split.TRAIN).vertices, shape_toy(k, split=Split.TRAIN).vertices)
        for k in range(32)
    ]
    assert 8 <= sum(changed) <= 16
