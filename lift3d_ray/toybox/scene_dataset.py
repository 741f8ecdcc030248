"""Training data: photo-like scenes with masks, as packed shards."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox import shards
from lift3d_ray.toybox.attributes import Attributes
from lift3d_ray.toybox.classes import CLASS_IDS
from lift3d_ray.toybox.mesh import Float, Int
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.scenes import Scene, scene
from lift3d_ray.toybox.world import caption

_PER_SHARD = 500


@dataclass(frozen=True)
class Scenes:
    """N photo-like pictures.

    Attributes:
        rgb: (N, S, S, 3) uint8.
        ids: (N, S, S) uint8; 0 background, 1 the main toy, 2 and 3 smaller toys.
        depth: (N, S, S) float16 z-depth of the main toy, 0 outside its mask.
        azimuth_deg: (N,) float32.
        elevation_deg: (N,) float32.
        framing: (N, 3) float32 ``focal_scale``, ``shift_x``, ``shift_y`` of ``cameras.Framing``.
        class_ids: (N,) int32 values of ``classes.CLASS_IDS``.
        scene_seeds: (N,) int64; ``scene(seed, size=..., split=...)`` gives the scene again.
        captions: N captions of the main toys, without a view.
        attributes: N structured descriptions of the main toys.
    """

    rgb: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth: NDArray[np.float16]
    azimuth_deg: Float
    elevation_deg: Float
    framing: Float
    class_ids: Int
    scene_seeds: NDArray[np.int64]
    captions: tuple[str, ...]
    attributes: tuple[Attributes, ...]


def build_scenes(
    path: Path,
    *,
    n: int,
    size: int = 128,
    seed: int = 0,
    split: Split = Split.TRAIN,
    workers: int = 1,
    per_shard: int = _PER_SHARD,
) -> None:
    """Draws scenes into shards; a killed build goes on where it stopped.

    Args:
        path: folder for the shards.
        n: number of scenes.
        size: side of a picture in pixels.
        seed: seed of the whole set.
        split: where the toys are drawn from.
        workers: processes; the shards do not depend on it.
        per_shard: scenes a shard.
    """
    make = partial(_scene_rows, size=size, seed=seed, split=split)
    settings = {"kind": "scenes", "size": size, "seed": seed, "split": split.value, "remixed": split is Split.TRAIN}
    shards.build(Path(path), make, count=n, per_shard=per_shard, settings=settings,
                 workers=workers)


def load_scenes(path: Path, *, limit: int | None = None) -> Scenes:
    """Loads the finished shards of ``build_scenes``, also while others are being built.

    Args:
        path: folder of the shards.
        limit: load no more than this many scenes.
    """
    data = shards.load(Path(path), limit=limit)
    return Scenes(
        rgb=data["rgb"], ids=data["ids"], depth=data["depth"],
        azimuth_deg=data["azimuth_deg"], elevation_deg=data["elevation_deg"],
        framing=data["framing"], class_ids=data["class_id"], scene_seeds=data["scene_seed"],
        captions=tuple(map(str, data["caption"])),
        attributes=tuple(Attributes(**json.loads(str(a))) for a in data["attributes"]),
    )


def _scene_rows(rows: range, *, size: int, seed: int, split: Split) -> shards.Arrays:
    stream = zlib.crc32(f"scenes {split.value}".encode())
    made = []
    for row in rows:
        scene_seed = shards.row_seed(seed, stream, row)
        made.append(_packed(scene(scene_seed, size=size, split=split), scene_seed))
    return {name: np.stack([one[name] for one in made]) for name in made[0]}


def _packed(made: Scene, scene_seed: int) -> shards.Arrays:
    framing = made.framing
    return {
        "rgb": made.rgb,
        "ids": made.ids,
        "depth": made.depth.astype(np.float16),
        "azimuth_deg": np.array(made.azimuth_deg, np.float32),
        "elevation_deg": np.array(made.elevation_deg, np.float32),
        "framing": np.array([framing.focal_scale, framing.shift_x, framing.shift_y], np.float32),
        "class_id": np.array(CLASS_IDS[made.obj.attributes.class_name], np.int32),
        "scene_seed": np.array(scene_seed, np.int64),
        "caption": np.array(caption(made.obj)),
        "attributes": np.array(json.dumps(made.obj.attributes.as_dict())),
    }
