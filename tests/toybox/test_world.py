from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.toybox import (
    ALL_CLASSES,
    HELD_OUT_CLASSES,
    TRAIN_CLASSES,
    VOCABULARY,
    Attributes,
    Split,
    ToyObject,
    caption,
    describe,
    random_caption,
    sample_attributes,
    sample_object,
    surface_points,
    view_name,
)
from lift3d_ray.toybox.palette import COLOURS, held_out_colours
from lift3d_ray.toybox.parts import Dice

ALL = sorted(ALL_CLASSES)


def of_class(name: str, seed: int = 0) -> ToyObject:
    split = Split.HELD_OUT_CLASSES if name in HELD_OUT_CLASSES else Split.TRAIN
    return sample_object(seed, split=split, class_name=name)


def words(text: str) -> set[str]:
    return set(text.replace(",", "").split())


def test_there_are_enough_classes() -> None:
    assert len(TRAIN_CLASSES) >= 26
    assert len(HELD_OUT_CLASSES) >= 2
    assert not set(TRAIN_CLASSES) & set(HELD_OUT_CLASSES)


@pytest.mark.parametrize("split", list(Split))
def test_the_same_seed_gives_the_same_toy(split: Split) -> None:
    one, two = sample_object(17, split=split), sample_object(17, split=split)
    for name in ("vertices", "faces", "normals", "uv", "face_paint", "palette"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.attributes == two.attributes == sample_attributes(17, split=split)
    assert not np.array_equal(one.palette, sample_object(18, split=split).palette)


@pytest.mark.parametrize("name", ALL)
def test_toys_fill_the_unit_ball(name: str) -> None:
    toy = of_class(name, 4)
    assert np.linalg.norm(toy.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(toy.vertices.max(0) + toy.vertices.min(0), 0, atol=1e-5)
    assert 80 <= len(toy.faces) <= 2500
    assert toy.vertices.dtype == np.float32
    assert toy.faces.dtype == np.int32


@pytest.mark.parametrize("name", ALL)
def test_parts_are_closed_and_wound_outwards(name: str) -> None:
    split = Split.HELD_OUT_CLASSES if name in HELD_OUT_CLASSES else Split.HELD_OUT
    for seed in range(2):
        for part in ALL_CLASSES[name].build(Dice(np.random.default_rng(seed), split)):
            mesh = part.mesh
            assert mesh.signed_volume() > 0
            _, place = np.unique(np.round(mesh.vertices, 4), axis=0, return_inverse=True)
            corner = place.reshape(-1)[mesh.faces]
            edges = {
                (int(a), int(b)) for k in range(3) for a, b in zip(corner[:, k], corner[:, (k + 1) % 3], strict=True)
                if a != b
            }
            assert {(b, a) for a, b in edges} == edges


@pytest.mark.parametrize("name", ALL)
def test_shading_normals_point_the_way_the_faces_do(name: str) -> None:
    toy = of_class(name, 2)
    a, b, c = (toy.vertices[toy.faces[:, k]].astype(np.float64) for k in range(3))
    facing = np.cross(b - a, c - a)
    agree = (facing * toy.normals[toy.faces].sum(1)).sum(1)
    area = np.linalg.norm(facing, axis=1)
    assert area[agree < -1e-9].sum() < 0.01 * area.sum()
    np.testing.assert_allclose(np.linalg.norm(toy.normals, axis=1), 1, atol=1e-4)


def test_held_out_pairs_never_appear_in_training() -> None:
    hidden_share = np.mean([len(held_out_colours(name)) / len(COLOURS) for name in TRAIN_CLASSES])
    assert 0.1 < hidden_share < 0.2
    for seed in range(3000):
        attributes = sample_attributes(seed, split=Split.TRAIN)
        assert attributes.primary not in held_out_colours(attributes.class_name)
    for seed in range(500):
        attributes = sample_attributes(seed, split=Split.HELD_OUT)
        assert attributes.class_name in TRAIN_CLASSES
        assert attributes.primary in held_out_colours(attributes.class_name)


def test_proportions_of_the_splits_do_not_meet() -> None:
    trained = [Dice(np.random.default_rng(k), Split.TRAIN).vary(0, 1) for k in range(200)]
    held_out = [Dice(np.random.default_rng(k), Split.HELD_OUT).vary(0, 1) for k in range(200)]
    assert min(trained) >= 0.1
    assert max(trained) <= 0.9
    assert all(value < 0.1 or value > 0.9 for value in held_out)


def test_held_out_classes_are_drawn_from_their_own_split_only() -> None:
    names = {sample_attributes(seed, split=Split.HELD_OUT_CLASSES).class_name for seed in range(20)}
    assert names <= set(HELD_OUT_CLASSES)
    with pytest.raises(ValueError, match="not a class of train"):
        sample_object(0, split=Split.TRAIN, class_name=HELD_OUT_CLASSES[0])


def test_captions_stay_within_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    texts = [random_caption(rng) for _ in range(500)]
    texts += [caption(of_class(name), 100.0, 10.0) for name in ALL]
    for text in texts:
        assert words(text) <= set(VOCABULARY), text
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_captions_read_well() -> None:
    assert describe(Attributes("mug", "red", "white", "stripes")) == "a red mug with white stripes"
    assert describe(Attributes("car", "orange", "blue", "plain")) == "an orange and blue car"
    assert describe(Attributes("car", "blue", None, "plain"), 10.0, 5.0) == "a blue car, front view"


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [(0, 0, "front"), (350, 20, "front"), (90, 0, "side"), (-90, 0, "side"), (180, 0, "back"),
     (-170, 10, "back"), (30, 70, "top")],
)
def test_views_have_names(azimuth: float, elevation: float, view: str) -> None:
    assert view_name(azimuth, elevation) == view


def test_surface_points_lie_on_the_surface() -> None:
    toy = of_class("gift")
    xyz, rgb, normals = surface_points(toy, 500, np.random.default_rng(0))
    assert xyz.shape == rgb.shape == normals.shape == (500, 3)
    assert np.linalg.norm(xyz, axis=1).max() <= 1 + 1e-5
    corners = toy.vertices[toy.faces].astype(np.float64)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
    to_plane = np.abs(((xyz[:, None] - corners[None, :, 0]) * facing).sum(-1)).min(1)
    assert to_plane.max() < 1e-5
