"""Pictures of toys for the priors: canonical views to learn, and framed reference pictures to learn them from.

A reference is what the lift will have: a crop whose subject fills most of the square, zoom and shift unknown. A target
is what the lift will ask for: the unit ball seen by a canonical camera. One shard holds some hundred toys; shards are
written whole or not at all, and each depends on its seeds alone.

Shape suffixes: N toys, T targets a toy, R references a toy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lift3d_ray.cameras import Framing, orbit_c2w, project, wrap_deg
from lift3d_ray.toybox.attributes import describe
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.toys import data_toy, shape_toy
from lift3d_ray.toybox.world import ToyObject
from lift3d_ray.types import Float32, UInt8

SIZE = 64
SHARD = 250
TARGETS = 6
REFERENCES = 3


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """Views of N toys.

    Attributes:
        target_rgba: (N, T, 64, 64, 4) uint8, colour over white and coverage, canonical framing.
        target_disparity: (N, T, 64, 64) uint8, 255 = nearest point of the view, 1 = farthest, 0 = nothing.
        target_azimuth_deg: (N, T) float32 absolute, 0 = the toy's front.
        target_elevation_deg: (N, T) float32.
        reference_rgba: (N, R, 64, 64, 4) uint8, framed like a subject crop.
        reference_azimuth_deg: (N, R) float32 absolute.
        reference_elevation_deg: (N, R) float32.
        captions: N captions without a view phrase.
        classes: N class names.
    """

    target_rgba: UInt8
    target_disparity: UInt8
    target_azimuth_deg: Float32
    target_elevation_deg: Float32
    reference_rgba: UInt8
    reference_azimuth_deg: Float32
    reference_elevation_deg: Float32
    captions: list[str]
    classes: list[str]


_ARRAYS = (
    "target_rgba",
    "target_disparity",
    "target_azimuth_deg",
    "target_elevation_deg",
    "reference_rgba",
    "reference_azimuth_deg",
    "reference_elevation_deg",
)


def build_views(
    folder: Path,
    *,
    toys: int,
    split: Split,
    seed: int = 0,
    any_shape: bool = False,
    workers: int = 1,
    progress: Callable[[str], None] = print,
) -> None:
    """Write the missing shards of ``toys`` toys (rounded up to whole shards) into ``folder``.

    Args:
        folder: created if missing.
        toys: how many.
        split: where they are drawn from.
        seed: of cameras and framings.
        any_shape: toys that need not be what they are called (``toys.shape_toy``).
        workers: processes.
        progress: told of every shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-toys // SHARD)
    missing = [k for k in range(shards) if not (folder / f"views-{k:04d}.npz").exists()]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write_shard, folder, k, split, seed, any_shape) for k in missing]
        for done, job in enumerate(jobs, start=1):
            job.result()
            progress(f"views: {shards - len(missing) + done}/{shards} shards")


def load_views(folder: Path, *, limit: int | None = None) -> ViewSet:
    """All shards of a folder in order, or the first ``limit``.

    Raises:
        FileNotFoundError: no shard there.
    """
    paths = sorted(folder.glob("views-*.npz"))[:limit]
    if not paths:
        raise FileNotFoundError(f"{folder} holds no views-*.npz: build them first")
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    captions: list[str] = []
    classes: list[str] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as shard:
            for name in _ARRAYS:
                arrays[name].append(shard[name])
            words = json.loads(str(shard["words"]))
        captions += words["captions"]
        classes += words["classes"]
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    return ViewSet(captions=captions, classes=classes, **joined)


def join_views(first: ViewSet, second: ViewSet) -> ViewSet:
    """The toys of both."""
    joined = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _ARRAYS}
    return ViewSet(captions=first.captions + second.captions, classes=first.classes + second.classes, **joined)


def mirror_views(views: ViewSet) -> ViewSet:
    """Every toy's mirror image: left and right exchanged, so seen from the other side."""
    flipped = {name: getattr(views, name)[..., ::-1, :] for name in ("target_rgba", "reference_rgba")}
    return replace(
        views,
        target_disparity=views.target_disparity[..., ::-1],
        target_azimuth_deg=-views.target_azimuth_deg,
        reference_azimuth_deg=-views.reference_azimuth_deg,
        **flipped,
    )


def frame_subject(obj: ToyObject, c2w_44: Float32, fill: float, *, offset: tuple[float, float] = (0, 0)) -> Framing:
    """The framing whose picture the toy's bounding box fills to ``fill``, moved by ``offset`` half widths."""
    xy, _ = project(obj.vertices, c2w_44, 2)
    half = xy - 1.0
    low, high = half.min(0), half.max(0)
    zoom = 2 * fill / float((high - low).max())
    centre = (low + high) / 2
    return Framing(
        focal_scale=zoom,
        shift_x=float(-centre[0] * zoom + offset[0]),
        shift_y=float(centre[1] * zoom + offset[1]),
    )


def _write_shard(folder: Path, index: int, split: Split, seed: int, any_shape: bool) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    captions, classes = [], []
    for k in range(index * SHARD, (index + 1) * SHARD):
        rng = np.random.default_rng([seed, k, 7])
        toy = (shape_toy if any_shape else data_toy)(k, split=split)
        for name, value in {**_targets(toy, rng), **_references(toy, rng)}.items():
            rows[name].append(value)
        captions.append(describe(toy.attributes, None, None))
        classes.append(toy.attributes.class_name)
    arrays = {name: np.stack(parts) for name, parts in rows.items()}
    words = json.dumps({"captions": captions, "classes": classes})
    partial = folder / f"views-{index:04d}.tmp.{os.getpid()}"
    with partial.open("wb") as file:
        np.savez(file, words=np.array(words), **arrays)  # type: ignore[arg-type]
    os.replace(partial, folder / f"views-{index:04d}.npz")


def _targets(toy: ToyObject, rng: np.random.Generator) -> dict[str, np.ndarray]:
    azimuth = wrap_deg(rng.uniform(0, 360) + np.arange(TARGETS) * 360 / TARGETS + rng.uniform(-25, 25, TARGETS))
    elevation = np.where(rng.random(TARGETS) < 0.85, rng.uniform(-12, 45, TARGETS), rng.uniform(45, 80, TARGETS))
    views = render(toy, orbit_c2w(azimuth, elevation), size=SIZE)
    return {
        "target_rgba": _rgba(views.rgb, views.alpha),
        "target_disparity": disparity_image(views.depth),
        "target_azimuth_deg": azimuth.astype(np.float32),
        "target_elevation_deg": elevation.astype(np.float32),
    }


def _references(toy: ToyObject, rng: np.random.Generator) -> dict[str, np.ndarray]:
    azimuth = wrap_deg(rng.uniform(0, 360, REFERENCES)).astype(np.float32)
    elevation = rng.uniform(-8, 45, REFERENCES).astype(np.float32)
    pictures = []
    for c2w in orbit_c2w(azimuth, elevation):
        offset = rng.normal(0, 0.015, 2)
        framing = frame_subject(toy, c2w, rng.uniform(0.75, 0.85), offset=(float(offset[0]), float(offset[1])))
        view = render(toy, c2w[None], size=SIZE, framing=framing)
        pictures.append(_rgba(view.rgb, view.alpha)[0])
    return {
        "reference_rgba": np.stack(pictures),
        "reference_azimuth_deg": azimuth,
        "reference_elevation_deg": elevation,
    }


def disparity_image(depth: Float32) -> UInt8:
    """(V, H, W) metric depth, 0 where empty, to disparity stretched over each view's own range, uint8 with 0 empty."""
    result = np.zeros(depth.shape, dtype=np.uint8)
    for view, out in zip(depth, result, strict=True):
        inside = view > 0
        inverse = 1.0 / view[inside]
        span = max(float(np.ptp(inverse)), 1e-6)
        out[inside] = np.round(1 + 254 * (inverse - inverse.min()) / span)
    return result


def _rgba(rgb: Float32, alpha: Float32) -> UInt8:
    return np.asarray(np.round(np.concatenate([rgb, alpha[..., None]], axis=-1) * 255), dtype=np.uint8)
