"""Contact sheets of the toy world: ``python -m lift3d_ray.toybox.sheet OUT.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.toybox.classes import ALL_CLASSES, HELD_OUT_CLASSES
from lift3d_ray.toybox.mesh import Float
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import Renders, render
from lift3d_ray.toybox.scenes import scene
from lift3d_ray.toybox.world import ToyObject, caption, sample_object

_AZIMUTHS = (0.0, 45.0, 90.0, 180.0, 30.0, -60.0)
_ELEVATIONS = (10.0, 20.0, 10.0, 15.0, 65.0, -20.0)

_MASK_COLOURS = np.array([[255, 255, 255], [220, 40, 40], [40, 160, 60], [50, 80, 220]], np.uint8)

UInt8 = NDArray[np.uint8]


def strip(obj: ToyObject, size: int) -> UInt8:
    """One toy: six views, then depth and normals of the second view.

    Returns:
        (size, 8 * size, 3) uint8.
    """
    shots = render(obj, orbit_c2w(_AZIMUTHS, _ELEVATIONS, 3.2), size=size)
    tiles = [*shots.rgb, _depth_tile(shots, 1), shots.normals[1] * 0.5 + 0.5]
    return _bytes(np.concatenate(tiles, 1))


def _depth_tile(shots: Renders, view: int) -> Float:
    depth = shots.depth[view]
    grey = np.where(depth > 0, np.clip((4.3 - depth) / 2.2, 0.05, 1), 0)
    return np.repeat(grey[..., None], 3, 2).astype(np.float32)


def _bytes(picture: Float) -> UInt8:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def sheet(
    names: tuple[str, ...] = tuple(ALL_CLASSES),
    *,
    size: int = 64,
    seed: int = 0,
    columns: int = 2,
    split: Split = Split.TRAIN,
) -> UInt8:
    """Draws one toy of each named class.

    Args:
        names: classes; held-out classes are drawn from their own split.
        size: side of one picture in pixels.
        seed: which toys.
        columns: toys side by side.
        split: where trained classes are drawn from.

    Returns:
        (rows, columns, 3) uint8.
    """
    strips = []
    for name in names:
        own = Split.HELD_OUT_CLASSES if name in HELD_OUT_CLASSES else split
        obj = sample_object(seed, split=own, class_name=name)
        strips.append(_titled(strip(obj, size), caption(obj)))
    while len(strips) % columns:
        strips.append(np.full_like(strips[0], 255))
    rows = [np.concatenate(strips[k:k + columns], 1) for k in range(0, len(strips), columns)]
    return np.concatenate(rows, 0)


def scene_sheet(count: int = 24, *, size: int = 128, seed: int = 0, columns: int = 8) -> UInt8:
    """Draws scenes, each row of pictures above a row of their masks.

    Args:
        count: number of scenes.
        size: side of one picture in pixels.
        seed: which scenes.
        columns: scenes side by side.

    Returns:
        (rows, columns, 3) uint8.
    """
    made = [scene(seed + k, size=size) for k in range(count - count % columns)]
    rows = []
    for start in range(0, len(made), columns):
        line = made[start:start + columns]
        rows.append(np.concatenate([one.rgb for one in line], 1))
        rows.append(np.concatenate([_MASK_COLOURS[one.ids] for one in line], 1))
    return np.concatenate(rows, 0)


def _titled(picture: UInt8, text: str) -> UInt8:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((2, 0), text, fill=(90, 90, 90))
    return np.asarray(image)


def main() -> None:
    """Writes a sheet of all classes to a PNG file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--split", type=Split, default=Split.TRAIN)
    parser.add_argument("--classes", nargs="*", default=list(ALL_CLASSES))
    parser.add_argument("--scenes", type=int, default=0, help="draw this many scenes instead")
    options = parser.parse_args()
    if options.scenes:
        Image.fromarray(scene_sheet(options.scenes, seed=options.seed)).save(options.out)
        return
    picture = sheet(tuple(options.classes), size=options.size, seed=options.seed,
                    columns=options.columns, split=options.split)
    Image.fromarray(picture).save(options.out)


if __name__ == "__main__":
    main()
