"""Toys in other proportions: still normalised, closed, lit from outside and told apart."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.toybox import Split, sample_object
from lift3d_ray.toybox.primitives import box, sphere
from lift3d_ray.toybox.toys import data_toy
from lift3d_ray.toybox.warp import warp_toy
from tests.toybox.toys import assert_normalised, toy_of


@pytest.mark.parametrize("seed", range(8))
def test_a_warped_toy_is_normalised_and_its_normals_still_point_out(seed: int) -> None:
    toy = sample_object(seed, split=Split.TRAIN)
    warped = warp_toy(toy, np.random.default_rng(seed))
    assert_normalised(warped)
    assert np.abs(warped.vertices - toy.vertices).max() > 0.01
    assert warped.attributes == toy.attributes


def test_a_warped_ball_s_normals_are_those_of_its_faces() -> None:
    warped = warp_toy(toy_of(sphere(1.0, segments=64, rings=33)), np.random.default_rng(3))
    corners = warped.vertices[warped.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(flat, axis=1)
    smooth = warped.normals[warped.faces].mean(1)
    agreement = (flat / np.maximum(length, 1e-9)[:, None] * smooth).sum(1)[length > 1e-4]
    assert agreement.min() > 0.97


def test_a_box_stays_a_box_and_above_stays_above() -> None:
    toy = toy_of(box(1.0, 2.0, 0.5))
    warped = warp_toy(toy, np.random.default_rng(1))
    for axis in range(3):
        assert len(np.unique(warped.vertices[:, axis].round(5))) == 2
        order = np.argsort(toy.vertices[:, axis], kind="stable")
        assert (np.diff(warped.vertices[order, axis]) > -1e-6).all()


def test_left_and_right_stay_alike() -> None:
    toy = toy_of(sphere(1.0, segments=32, rings=17))
    x = warp_toy(toy, np.random.default_rng(5)).vertices[:, 0]
    np.testing.assert_allclose(np.sort(x), np.sort(-x), atol=1e-5)


def test_training_toys_are_changed_by_turns_and_held_out_ones_never() -> None:
    for seed in range(4, 8):
        for split in (Split.TRAIN, Split.HELD_OUT):
            plain = sample_object(seed, split=split)
            same = np.array_equal(data_toy(seed, split=split).vertices, plain.vertices)
            assert same == (split is Split.HELD_OUT or seed % 4 == 0)
    np.testing.assert_array_equal(
        data_toy(5, split=Split.TRAIN).vertices, data_toy(5, split=Split.TRAIN).vertices
    )
