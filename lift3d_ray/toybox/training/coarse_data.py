"""Pictures of toys with what lies behind every pixel: what the coarse shape is learnt from.

Shape suffixes: N pictures, S picture side, D slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lift3d_ray.cameras import half_width, orbit_c2w
from lift3d_ray.models.coarse import DEPTH_REACH, SIDE, SLICES
from lift3d_ray.toybox import shards
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.solidity import solid_view
from lift3d_ray.toybox.toys import shape_toy
from lift3d_ray.toybox.training.views import disparity_image, frame_subject
from lift3d_ray.types import UInt8

PICTURE_PX = 64
PICTURES = 3
"""Of every toy."""
_TOYS_A_SHARD = 250


@dataclass(frozen=True, kw_only=True)
class CoarseSet:
    """N framed pictures.

    Attributes:
        rgba_NSSC: (N, 64, 64, 4) uint8, colour over white and coverage.
        filled_NB: (N, 32 * 32 * 4) uint8, the bits of (32, 32, 32) rows, columns, slices (``np.packbits``).
        back_NSSC: (N, 32, 32, 3) uint8 the farthest surface seen from behind, in the picture's own pixels.
        disparity_NSS: (N, 64, 64) uint8, 255 = nearest point of the picture, 1 = farthest, 0 = nothing.
    """

    rgba_NSSC: UInt8
    filled_NB: UInt8
    back_NSSC: UInt8
    disparity_NSS: UInt8


def build_coarse(folder: Path, *, toys: int, split: Split = Split.TRAIN, workers: int = 1) -> None:
    """Write the missing shards of pictures of ``toys`` toys; a killed build goes on where it stopped."""
    make = partial(_rows, split=split)
    settings = {
        "kind": "coarse",
        "split": split.value,
        "remixed": split is Split.TRAIN,
        "side": SIDE,
        "slices": SLICES,
        "reach": DEPTH_REACH,
        "disparity": True,
    }
    shards.build(
        folder, make, count=toys * PICTURES, per_shard=_TOYS_A_SHARD * PICTURES, settings=settings, workers=workers
    )


def load_coarse(folder: Path, *, limit: int | None = None) -> CoarseSet:
    """The finished shards, at most ``limit`` pictures."""
    data = shards.load(folder, limit=limit)
    return CoarseSet(
        rgba_NSSC=data["rgba"],
        filled_NB=data["filled"],
        back_NSSC=data["back"],
        disparity_NSS=data["disparity"],
    )


def azimuth_deg(row: int) -> float:
    """Where a picture of this number was taken from, degrees, 0 = the toy's front."""
    return float(_dice(row).uniform(0, 360))


def _dice(row: int) -> np.random.Generator:
    """Azimuth first, then the rest of a picture's camera."""
    return np.random.default_rng([row, 23])


def _rows(rows: range, *, split: Split) -> shards.Arrays:
    made = [_picture(row, split) for row in rows]
    return {name: np.stack([one[name] for one in made]) for name in made[0]}


def _picture(row: int, split: Split) -> dict[str, UInt8]:
    """One picture framed as a subject crop is, from where a photographer would stand."""
    toy = shape_toy(row // PICTURES, split=split)
    rng = _dice(row)
    camera = orbit_c2w(rng.uniform(0, 360), rng.uniform(-8, 45))
    offset = rng.normal(0, 0.02, 2)
    framing = frame_subject(toy, camera[0], rng.uniform(0.72, 0.88), offset=(float(offset[0]), float(offset[1])))
    view = render(toy, camera, size=PICTURE_PX, framing=framing)
    half_depth = DEPTH_REACH * half_width(framing)
    solid = solid_view(toy, camera[0], framing, size=SIDE, slices=SLICES, half_depth=half_depth)
    rgba = np.concatenate([view.rgb[0], view.alpha[0][..., None]], axis=-1)
    return {
        "rgba": np.asarray(np.round(rgba * 255), dtype=np.uint8),
        "filled": np.packbits(solid.filled_SSD),
        "back": np.asarray(np.round(solid.back_rgb_SSC * 255), dtype=np.uint8),
        "disparity": disparity_image(view.depth)[0],
    }
