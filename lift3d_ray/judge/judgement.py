"""Which of several lifts of one picture is best, told from what can be seen of them.

Four figures of the mesh that the user gets, from eight views an eighth of a turn apart:

- *fit*: PSNR of the mesh against the photo's crop over white, from the photo's own camera, dB;
- *likeness*: mean cosine, in CLIP's space, between the crop and the views within a quarter turn of it;
- *words*: mean cosine between each view and the caption said of that view ("a red mug, back view");
- *janus*: mean cosine between the view of the photo's side and the views from more than a quarter turn off, which is
  high where the front was drawn again on the back.

``score = fit / 0.2 dB + likeness / 0.0025 + words / 0.0025 - janus / 0.01``: each figure in units of about what another
seed changes of it, so that none decides alone. A thing that looks the same from all round has a high janus under every
seed, so scores compare lifts of one picture and nothing else.

Shape suffixes: V views, H W pixels, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lift3d_ray.cameras import wrap_deg
from lift3d_ray.conditioning.caption import split_view
from lift3d_ray.conditioning.prompts import View, view_prompts
from lift3d_ray.models.roles import ImageTextEncoder
from lift3d_ray.types import Asset, Candidate, Float32, UInt8

VIEWS = 8
"""Views that are judged, evenly over the turn, the photo's side first."""

FIT_UNIT_DB = 0.2
COSINE_UNIT = 0.0025
JANUS_UNIT = 0.01

ELEVATION_DEG = 15.0
_QUARTER_DEG = 90.0


def judged(asset: Asset, encoder: ImageTextEncoder) -> Candidate:
    """The figures and the score of a lift.

    Args:
        asset: with its turntable, and the metric ``reference_psnr``.
        encoder: CLIP or alike.
    """
    views_VHWC, azimuth_deg_V = _turn(asset.turntable_VHWC)
    seen_VD = encoder.encode_images(views_VHWC)
    photo_D = encoder.encode_images(asset.perception.subject.over(1.0)[None])[0]
    caption, side = split_view(asset.perception.caption)
    turned_V = np.abs(wrap_deg(azimuth_deg_V))
    fit = asset.metrics["reference_psnr"]
    likeness = float((seen_VD @ photo_D)[turned_V <= _QUARTER_DEG].mean())
    words = agreement_with_words(seen_VD, azimuth_deg_V, caption, side, encoder)
    janus = float((seen_VD @ seen_VD[0])[turned_V > _QUARTER_DEG].mean())
    return Candidate(
        seed=asset.seed,
        fit_db=fit,
        likeness=likeness,
        words=words,
        janus=janus,
        score=fit / FIT_UNIT_DB + (likeness + words) / COSINE_UNIT - janus / JANUS_UNIT,
    )


def agreement_with_words(
    seen_VD: Float32, azimuth_deg_V: ArrayLike, caption: str, side: View | None, encoder: ImageTextEncoder
) -> float:
    """Mean cosine between views from ``ELEVATION_DEG`` above the horizon and the caption said of each view.

    Args:
        seen_VD: (V, D) unit vectors of the views.
        azimuth_deg_V: (V,) where they look from, degrees.
        caption: without a view phrase.
        side: which side of the thing azimuth 0 shows, or None.
        encoder: CLIP or alike.
    """
    elevation_deg_V = np.full(len(seen_VD), ELEVATION_DEG)
    prompts = view_prompts(caption, azimuth_deg_V, elevation_deg_V, reference_view=side)
    return float((seen_VD * encoder.encode_texts(prompts.prompts)).sum(axis=1).mean())


def best(candidates: Sequence[Candidate]) -> int:
    """Index of the best candidate, the earliest of equals; those that failed are never best.

    Raises:
        ValueError: all failed.
    """
    scores = [
        -math.inf if candidate.error or math.isnan(candidate.score) else candidate.score for candidate in candidates
    ]
    if not scores or max(scores) == -math.inf:
        raise ValueError(f"none of {len(candidates)} candidates has a score")
    return scores.index(max(scores))


def _turn(turntable_VHWC: UInt8) -> tuple[UInt8, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Evenly spaced views of a turntable (its colours, not its normals), and their azimuths in degrees."""
    count, side = turntable_VHWC.shape[:2]
    frames = np.unique(np.arange(VIEWS) * count // VIEWS)
    return np.ascontiguousarray(turntable_VHWC[frames, :, :side]), frames * 360.0 / count
