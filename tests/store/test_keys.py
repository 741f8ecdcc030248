from __future__ import annotations

import re
from typing import Any

import pytest

from lift3d_ray.store.keys import (
    KEY_LENGTH,
    Settings,
    candidate_seeds,
    folder_name,
    picture_digest,
    picture_seed,
    source_digest,
    thing_folder_name,
)

SETTINGS = Settings(recipe="r", quality="draft", recipe_digest="aa", bundle_digest="bb", run_seed=0)


def test_a_key_is_hex_and_repeats() -> None:
    key = SETTINGS.key(picture_digest(b"picture"))
    assert re.fullmatch(f"[0-9a-f]{{{KEY_LENGTH}}}", key)
    assert key == SETTINGS.key(picture_digest(b"picture"))


@pytest.mark.parametrize(
    "change",
    [
        {"recipe_digest": "ab"},
        {"bundle_digest": "bc"},
        {"run_seed": 1},
        {"selection": "click 3,4"},
        {"best_of": 2},
    ],
)
def test_whatever_changes_the_work_changes_the_key(change: dict[str, Any]) -> None:
    from dataclasses import replace

    assert replace(SETTINGS, **change).key("p") != SETTINGS.key("p")


def test_names_for_people_do_not_change_the_key() -> None:
    from dataclasses import replace

    assert replace(SETTINGS, recipe="other", quality="fine").key("p") == SETTINGS.key("p")


def test_the_stage_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SETTINGS.key("p")
    monkeypatch.setattr("lift3d_ray.store.keys.STAGE_VERSION", 999)
    assert SETTINGS.key("p") != before


def test_an_unread_row_never_has_the_key_of_a_picture() -> None:
    assert source_digest("/a.png", "3:4") != source_digest("/b.png", "3:4")
    assert source_digest("/a.png", "3:4") != picture_digest(b"unread\n/a.png\n3:4x")


def test_seeds_differ_by_picture_and_by_run_and_fit_32_bits() -> None:
    seeds = [picture_seed(run, picture) for run in range(20) for picture in ("a", "b", "c")]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert picture_seed(7, "a") == picture_seed(7, "a")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("photos/My Cat (2).JPG", "my-cat-2"),
        ("table.parquet#17", "table-parquet-17"),
        ("\u4eba.png", "picture"),
        ("../../etc/passwd", "passwd"),
        ("", "picture"),
        ("a" * 200 + ".png", "a" * 40),
    ],
)
def test_folder_names_are_safe_and_recognisable(name: str, slug: str) -> None:
    assert folder_name(name, "0123456789abcdef") == f"{slug}-0123456789ab"


def test_a_thing_has_a_seed_and_a_folder_of_its_own() -> None:
    seeds = [picture_seed(7, "a", thing) for thing in (0, 1, 2, 3)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[1:])) == 3
    name = thing_folder_name("photos/My Desk.JPG", 2, "a blue mug/cup, side view", "0123456789abcdef")
    assert name == "my-desk-02-a-blue-mug-cup-side-view-0123456789ab"


def test_several_tries_have_seeds_apart_and_begin_with_the_picture_s_own() -> None:
    seeds = candidate_seeds(9, 5)
    assert seeds[0] == 9
    assert len(set(seeds)) == 5
    assert candidate_seeds(9, 3) == seeds[:3]
    assert all(0 <= seed < 2**32 for seed in seeds)
