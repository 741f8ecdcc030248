"""Masks of a photo and the words for one of them: which mask is meant (CLIP: Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lift3d_ray.models.roles import ImageTextEncoder
from lift3d_ray.subject.crop import crop_subject
from lift3d_ray.types import MaskProposal, Photo

_CROP_PX = 224
_ARTICLES = ("the ", "a ", "an ", "some ", "my ", "this ", "that ")


def closest_to(
    words: str, photo: Photo, masks: Sequence[MaskProposal], encoder: ImageTextEncoder
) -> MaskProposal:
    """The mask whose cut-out over white agrees best with the words.

    Args:
        words: what is meant, such as "the blue mug"; the article does not matter.
        photo: the picture.
        masks: at least one mask of it.
        encoder: CLIP or alike.
    """
    if len(masks) == 1:
        return masks[0]
    cut_outs = np.stack([crop_subject(photo, mask, size=_CROP_PX).over(1.0) for mask in masks])
    agreement = encoder.encode_images(cut_outs) @ encoder.encode_texts([with_article(words)])[0]
    return masks[int(np.argmax(agreement))]


def with_article(words: str) -> str:
    """The words as captions begin: "the Blue mug" becomes "a blue mug"."""
    thing = " ".join(words.lower().split())
    for article in _ARTICLES:
        thing = thing.removeprefix(article)
    return f"{'an' if thing[:1] in 'aeiou' else 'a'} {thing}"
