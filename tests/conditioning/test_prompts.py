"""Prompts that stay true whatever side the photo shows."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.conditioning import View, view_of, view_prompts
from lift3d_ray.toybox.attributes import view_name


def views(*cameras: tuple[float, float], reference: View | None = None) -> list[str]:
    azimuths, elevations = zip(*cameras, strict=True)
    prompts = view_prompts("a mug", azimuths, elevations, reference_view=reference).prompts
    assert all(prompt.startswith("a mug, ") and prompt.endswith(" view") for prompt in prompts)
    return [prompt.removeprefix("a mug, ").removesuffix(" view") for prompt in prompts]


def test_names_follow_the_azimuth() -> None:
    around = [(a, 10.0) for a in (0, 44, 46, 90, 134, 136, 180, 224, 226, 270, 314, 316, 360, -90, 540)]
    assert views(*around) == [
        "front", "front", "side", "side", "side", "back", "back", "back", "side", "side", "side", "front", "front",
        "side", "back",
    ]  # fmt: skip


def test_the_top_counts_from_60_degrees_wherever_the_camera_is() -> None:
    assert views((0, 60), (0, 61), (180, 85), (180, -30)) == ["front", "top", "top", "back"]


def test_names_are_those_of_the_embedded_captions() -> None:
    generator = np.random.default_rng(5)
    for azimuth, elevation in generator.uniform((-400, -90), (400, 90), (200, 2)):
        assert view_of(azimuth, elevation).value == view_name(azimuth, elevation)


def test_a_photo_from_the_side_shifts_the_names() -> None:
    seen = views((0, 0), (-90, 0), (90, 0), (180, 0), reference=View.SIDE)
    assert seen == ["side", "front", "back", "side"]


def test_a_photo_from_behind_turns_the_names() -> None:
    assert views((0, 0), (180, 0), (90, 0), reference=View.BACK) == ["back", "front", "side"]


@pytest.mark.parametrize("reference", [None, View.FRONT, View.TOP])
def test_other_photos_show_the_front(reference: View | None) -> None:
    assert views((0, 0), (180, 0), reference=reference) == ["front", "back"]


def test_negatives_are_joined_and_the_back_has_its_own() -> None:
    made = view_prompts("a cat", [0, 180], [0, 0], reference_view=None, negative="blurry", back_negative="face")
    assert made.negative_prompts == ("blurry", "blurry, face")
    assert view_prompts("a cat", [0, 180], [0, 0], reference_view=None).negative_prompts == ("", "")
    back_only = view_prompts("a cat", [0, 180], [0, 0], reference_view=None, back_negative="face")
    assert back_only.negative_prompts == ("", "face")


def test_arrays_of_one_length_are_wanted() -> None:
    assert len(view_prompts("a cat", np.zeros(3, np.float32), np.zeros(3), reference_view=None).prompts) == 3
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        view_prompts("a cat", [0, 1], [0], reference_view=None)


def test_blended_prompts_turn_from_front_to_side_to_back() -> None:
    azimuths = (0.0, 22.5, -22.5, 90.0, 135.0, 180.0, 20.0)
    elevations = (10.0,) * 6 + (80.0,)
    made = view_prompts(
        "a mug", azimuths, elevations, reference_view=None, negative="dull", back_negative="face", blended=True
    )
    assert made.blend is not None
    got = list(zip(made.prompts, made.blend.prompts, made.blend.share_B.tolist(), strict=True))
    front, side, back, top = (f"a mug, {view} view" for view in ("front", "side", "back", "top"))
    assert got == [
        (front, side, 0.0),
        (front, side, 0.25),
        (front, side, 0.25),
        (front, side, 1.0),
        (side, back, 0.5),
        (side, back, 1.0),
        (top, top, 0.0),
    ]
    assert made.negative_prompts == ("dull",) * 5 + ("dull, face", "dull")


def test_prompts_switch_unless_told_to_blend() -> None:
    assert view_prompts("a mug", (30.0,), (0.0,), reference_view=None).blend is None


def test_blends_too_know_which_side_the_photo_shows() -> None:
    made = view_prompts("a mug", (0.0, 90.0), (0.0, 0.0), reference_view=View.SIDE, blended=True)
    assert made.blend is not None
    assert list(zip(made.prompts, made.blend.prompts, made.blend.share_B.tolist(), strict=True)) == [
        ("a mug, front view", "a mug, side view", 1.0),
        ("a mug, side view", "a mug, back view", 1.0),
    ]
