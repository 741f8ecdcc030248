"""Training data: toys from several sides, as packed shards."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.cameras import DEFAULT_RADIUS, orbit_c2w
from lift3d_ray.toybox import shards
from lift3d_ray.toybox.attributes import Attributes
from lift3d_ray.toybox.classes import CLASS_IDS
from lift3d_ray.toybox.mesh import Float, Int
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.world import caption, sample_object

_PER_SHARD = 250


@dataclass(frozen=True)
class Multiview:
    """N toys from V sides each.

    Attributes:
        rgba: (N, V, S, S, 4) uint8; the colour is already over white, alpha is the coverage.
        depth: (N, V, S, S) float16 z-depth, 0 where the toy is not.
        azimuth_deg: (N, V) float32 in [0, 360).
        elevation_deg: (N, V) float32.
        class_ids: (N,) int32 values of ``classes.CLASS_IDS``.
        object_seeds: (N,) int64; ``sample_object(seed, split=split)`` gives the toy again.
        captions: N captions without a view.
        attributes: N structured descriptions; ``attributes.describe`` adds a view.
    """

    rgba: NDArray[np.uint8]
    depth: NDArray[np.float16]
    azimuth_deg: Float
    elevation_deg: Float
    class_ids: Int
    object_seeds: NDArray[np.int64]
    captions: tuple[str, ...]
    attributes: tuple[Attributes, ...]


def build_multiview(
    path: Path,
    *,
    n_objects: int,
    views_per_object: int = 8,
    size: int = 64,
    seed: int = 0,
    split: Split = Split.TRAIN,
    workers: int = 1,
    per_shard: int = _PER_SHARD,
) -> None:
    """Renders toys from all sides into shards; a killed build goes on where it stopped.

    A shard depends on the arguments only, not on the number of workers.

    Args:
        path: folder for the shards.
        n_objects: number of toys.
        views_per_object: pictures a toy.
        size: side of a picture in pixels.
        seed: seed of the whole set.
        split: where the toys are drawn from.
        workers: processes.
        per_shard: toys a shard.
    """
    make = partial(_multiview_rows, views=views_per_object, size=size, seed=seed, split=split)
    settings = {"kind": "multiview", "views": views_per_object, "size": size, "seed": seed,
                "split": split.value}
    shards.build(Path(path), make, count=n_objects, per_shard=per_shard, settings=settings,
                 workers=workers)


def load_multiview(path: Path, *, limit: int | None = None) -> Multiview:
    """Loads the finished shards of ``build_multiview``, also while others are being built.

    Args:
        path: folder of the shards.
        limit: load no more than this many toys.
    """
    data = shards.load(Path(path), limit=limit)
    return Multiview(
        rgba=data["rgba"], depth=data["depth"],
        azimuth_deg=data["azimuth_deg"], elevation_deg=data["elevation_deg"],
        class_ids=data["class_id"], object_seeds=data["object_seed"],
        captions=tuple(map(str, data["caption"])),
        attributes=tuple(Attributes(**json.loads(str(a))) for a in data["attributes"]),
    )


def random_views(rng: np.random.Generator, count: int) -> tuple[Float, Float]:
    """Draws camera angles: all round, mostly from where people look, some from above and below.

    Returns:
        azimuths in [0, 360) and elevations in [-30, 80], each (count,) float32, degrees.
    """
    azimuth = rng.uniform(0, 360, count)
    kind = rng.random(count)
    usual, high, low = (rng.uniform(a, b, count) for a, b in ((-10, 45), (45, 80), (-30, -10)))
    elevation = np.where(kind < 0.75, usual, np.where(kind < 0.9, high, low))
    return azimuth.astype(np.float32), elevation.astype(np.float32)


def _multiview_rows(
    rows: range, *, views: int, size: int, seed: int, split: Split
) -> shards.Arrays:
    stream = zlib.crc32(f"multiview {split.value}".encode())
    made = [_one_toy(shards.row_seed(seed, stream, row), views, size, split) for row in rows]
    return {name: np.stack([toy[name] for toy in made]) for name in made[0]}


def _one_toy(object_seed: int, views: int, size: int, split: Split) -> shards.Arrays:
    obj = sample_object(object_seed, split=split)
    azimuth, elevation = random_views(np.random.default_rng([object_seed, 1]), views)
    shots = render(obj, orbit_c2w(azimuth, elevation, DEFAULT_RADIUS), size=size)
    rgba = np.concatenate([shots.rgb, shots.alpha[..., None]], -1)
    return {
        "rgba": np.round(rgba * 255).astype(np.uint8),
        "depth": shots.depth.astype(np.float16),
        "azimuth_deg": azimuth,
        "elevation_deg": elevation,
        "class_id": np.array(CLASS_IDS[obj.attributes.class_name], np.int32),
        "object_seed": np.array(object_seed, np.int64),
        "caption": np.array(caption(obj)),
        "attributes": np.array(json.dumps(obj.attributes.as_dict())),
    }
