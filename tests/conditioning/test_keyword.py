"""The noun of a caption."""

from __future__ import annotations

import numpy as np
import pytest

from lift3d_ray.conditioning.caption import split_view
from lift3d_ray.conditioning.keyword import find_keyword, holds_keyword, replace_keyword, with_keyword
from lift3d_ray.errors import ConfigError
from lift3d_ray.toybox.attributes import random_caption


@pytest.mark.parametrize(
    ("caption", "keyword"),
    [
        ("a red mug with white stripes", "mug"),
        ("a cup of coffee", "cup"),
        ("two dogs that are standing in the grass", "dogs"),
        ("an object", "object"),
        ("a yellow and white snowman", "snowman"),
        ("a dog and a cat", "dog"),
        ("hot air balloon", "balloon"),
        ("the teddy bear, sitting", "bear"),
        ("in the house", "house"),
        ("a t-shirt", "t-shirt"),
        ("the", "the"),
    ],
)
def test_the_noun_is_found(caption: str, keyword: str) -> None:
    assert find_keyword(caption) == keyword


def test_every_embedded_caption_has_one_that_can_be_replaced() -> None:
    generator = np.random.default_rng(3)
    for _ in range(300):
        caption, _view = split_view(random_caption(generator))
        keyword = find_keyword(caption)
        assert holds_keyword(caption, keyword)
        assert replace_keyword(caption, keyword, "<x>").replace("<x>", keyword) == caption


def test_nothing_has_no_noun() -> None:
    with pytest.raises(ConfigError, match="a word in it"):
        find_keyword(" ,. ")


def test_a_keyword_that_is_not_said_goes_before() -> None:
    assert with_keyword("a red cup", "cup") == "a red cup"
    assert with_keyword("a red cupboard", "cup") == "cup, a red cupboard"
    with pytest.raises(ConfigError, match="single word"):
        with_keyword("a red cup", "red cup")


def test_only_the_word_itself_is_replaced() -> None:
    assert replace_keyword("a carpet with a car on a car", "car", "<x>") == "a carpet with a <x> on a car"
