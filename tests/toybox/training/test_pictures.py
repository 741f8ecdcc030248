"""Subjects end up where, how large and on what they were asked to be."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lift3d_ray.toybox.training import views  # noqa: E402
from lift3d_ray.toybox.training.pictures import (  # noqa: E402
    SubjectBatch,
    Toys,
    draw_backgrounds,
    draw_subjects,
    evaluation_pictures,
    exchange_colours,
    labelled_sheet,
    over,
    place_subjects,
    plain_subjects,
    to_bytes,
)
from tests.toybox.training.small import write_small_shard  # noqa: E402


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    folder = tmp_path_factory.mktemp("views")
    write_small_shard(folder, 4)
    return Toys.load(folder)


def square() -> np.ndarray:
    """One 64x64 cut-out: a red square, 16 px wide, 4 px from the left and 8 from the top."""
    rgba = np.zeros((1, 64, 64, 4), np.uint8)
    rgba[..., :3] = 255
    rgba[0, 8:24, 4:20] = (255, 0, 0, 255)
    return rgba


def place(fill: float, shift: tuple[float, float] = (0, 0), turn: float = 0, mirrored: bool = False) -> np.ndarray:
    moved = place_subjects(
        square(),
        fill_B=np.array([fill]),
        shift_B2=np.array([shift]),
        turn_deg_B=np.array([turn]),
        mirrored_B=np.array([mirrored]),
    )
    return np.asarray(moved[0].numpy())


def box(alpha: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(alpha > 0.5)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_subject_fills_what_it_shall() -> None:
    assert box(place(0.5)[3]) == [16, 16, 48, 48]


def test_a_subject_goes_where_it_shall() -> None:
    assert box(place(0.25, (0.5, -0.25))[3]) == [40, 16, 56, 32]


def test_a_quarter_turn_keeps_a_square() -> None:
    np.testing.assert_allclose(place(0.5, turn=90)[3], place(0.5)[3], atol=0.02)


def test_colours_stay_what_they_are() -> None:
    picture = over(torch.from_numpy(place(0.5))[None], torch.zeros(1, 3, 1, 1))[0].numpy()
    np.testing.assert_allclose(picture[:, 32, 32], [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(picture[:, 2, 2], [0, 0, 0], atol=1e-5)


def test_a_plain_subject_lies_over_white(toys: Toys) -> None:
    pictures = plain_subjects(toys, np.array([0, 1]), np.array([6, 7]), fill=0.8)
    assert pictures.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(pictures[:, :, :2].numpy(), 1, atol=1e-3)


def test_views_are_targets_then_references(toys: Toys) -> None:
    assert len(toys) == 4
    assert toys.views_a_toy == views.TARGETS + views.REFERENCES
    assert list(toys.references) == [6, 7, 8]
    for view in range(9):
        stored = toys._views.target_rgba[2, view] if view < 6 else toys._views.reference_rgba[2, view - 6]
        np.testing.assert_array_equal(toys.rgba(np.array([2]), np.array([view]))[0], stored)


def test_batches_are_the_same_for_the_same_generator(toys: Toys) -> None:
    def draw(seed: int) -> SubjectBatch:
        return draw_subjects(toys, np.random.default_rng(seed), 4)

    assert torch.equal(draw(1).images_B3HW, draw(1).images_B3HW)
    assert not torch.equal(draw(1).images_B3HW, draw(2).images_B3HW)
    assert sorted(draw(1).toys_B) == [0, 1, 2, 3]
    assert float(draw(1).images_B3HW.min()) >= 0
    assert float(draw(1).images_B3HW.max()) <= 1


def test_the_share_of_white_backgrounds_is_as_asked() -> None:
    drawn = draw_backgrounds(np.random.default_rng(0), 400, 8, white_share=0.7)
    assert drawn.shape == (400, 3, 8, 8)
    white = (drawn.flatten(1) == 1).all(1).float().mean()
    assert 0.6 < float(white) < 0.8


def test_exchanged_colours_stay_inside_the_subject() -> None:
    moved = torch.from_numpy(np.stack([place(0.5)] * 40))
    exchange_colours(moved, np.arange(40) > 0, np.random.default_rng(0))
    np.testing.assert_array_equal(moved[0], place(0.5))
    np.testing.assert_array_equal(moved[:, 3], np.stack([place(0.5)[3]] * 40))
    assert float(moved[:, :3, 2, 2].abs().max()) == 0
    colours = {tuple(np.round(pixel, 3)) for pixel in moved[:, :3, 32, 32].numpy().tolist()}
    assert 4 <= len(colours) <= 6


def test_held_out_pictures_are_fixed(toys: Toys) -> None:
    first, second = evaluation_pictures(toys, photographic=True), evaluation_pictures(toys, photographic=True)
    np.testing.assert_array_equal(first, second)
    assert set(first[1]) <= set(toys.references)


def test_captions_name_the_view(toys: Toys) -> None:
    said = toys.describe_all(np.array([0, 1]), np.array([6, 7]))
    assert said[0].startswith(toys.captions[0] + ", ")
    assert said[1].endswith(f"{toys.view_name(1, 7)} view")


def test_a_sheet_holds_every_picture(toys: Toys) -> None:
    pictures = plain_subjects(toys, np.array([0, 1, 2]), np.array([6, 6, 6]))
    sheet = labelled_sheet(pictures, ["a", "b", "c"], [True, False, True], columns=2)
    assert sheet.shape == (2 * (128 + 36), 2 * 168, 3)
    assert len(to_bytes(pictures)) == 3
