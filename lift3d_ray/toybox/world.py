"""Toys: drawn from a seed, normalised, painted and lit."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.attributes import Attributes, describe, random_attributes
from lift3d_ray.toybox.classes import ALL_CLASSES, HELD_OUT_CLASSES, TRAIN_CLASSES
from lift3d_ray.toybox.mesh import Float, Int, unit
from lift3d_ray.toybox.palette import (
    ACCENTS,
    COLOURS,
    FINISHES,
    Finish,
    held_out_colours,
    jittered,
)
from lift3d_ray.toybox.parts import PRIMARY, SECONDARY, Dice, Part, Split

PATTERNED_PAINT = 0
SECOND_PAINT = 1
_SPLIT_KEYS = {Split.TRAIN: 1, Split.HELD_OUT: 2, Split.HELD_OUT_CLASSES: 3}
_FINISH_ODDS = (0.6, 0.28, 0.12)
_CELL = (0.16, 0.27)


@dataclass(frozen=True)
class Light:
    """A key light far away and a sky, fixed in the world for all views of a toy.

    Attributes:
        direction: (3,) float32 unit vector from the toy towards the key light, world frame.
        ambient: brightness without the key light, in [0, 1].
    """

    direction: Float
    ambient: float = 0.54


@dataclass(frozen=True)
class ToyObject:
    """A toy with everything that is needed to draw and to describe it.

    World frame: +Y up, front towards +Z, bounding box centred at the origin, farthest vertex at
    distance 1.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, counter-clockwise seen from outside; every part is closed.
        normals: (V, 3) float32 unit shading normals.
        uv: (V, 2) float32 pattern coordinates in pattern cells.
        face_part: (F,) int32 index of the part that a face belongs to.
        face_paint: (F,) int32 row of ``palette``; paint 0 carries the pattern, whose second
            colour is row 1.
        palette: (P, 3) float32 colours in [0, 1].
        finish: how the surface answers to light.
        light: the toy's own light.
        attributes: what it is, in words.
        split: the part of the world it was drawn from.
        seed: the number it was drawn from.
    """

    vertices: Float
    faces: Int
    normals: Float
    uv: Float
    face_part: Int
    face_paint: Int
    palette: Float
    finish: Finish
    light: Light
    attributes: Attributes
    split: Split
    seed: int


def sample_object(seed: int, *, split: Split, class_name: str | None = None) -> ToyObject:
    """Draws a toy; the same arguments always give the same toy.

    Args:
        seed: any non-negative number.
        split: which part of the toy world to draw from.
        class_name: a class of that split, or None to draw the class as well.

    Raises:
        ValueError: where the class is not one of the split's.
    """
    attributes, shape, looks = _begin(seed, split, class_name)
    parts = ALL_CLASSES[attributes.class_name].build(Dice(shape, split))
    return assemble(parts, attributes, looks, split=split, seed=seed)


def sample_attributes(
    seed: int, *, split: Split, class_name: str | None = None
) -> Attributes:
    """The words of the toy that ``sample_object`` draws, without making it."""
    return _begin(seed, split, class_name)[0]


def _begin(
    seed: int, split: Split, class_name: str | None
) -> tuple[Attributes, np.random.Generator, np.random.Generator]:
    """Draws the words of a toy; returns them with the sources of its shape and its looks."""
    permitted = classes_of(split)
    if class_name is not None and class_name not in permitted:
        raise ValueError(f"{class_name!r} is not a class of {split.value}; known: {permitted}")
    named = 0 if class_name is None else 1 + zlib.crc32(class_name.encode())
    rng = np.random.default_rng(np.random.SeedSequence([seed, _SPLIT_KEYS[split], named]))
    name = class_name or permitted[int(rng.integers(len(permitted)))]
    words, shape, looks = rng.spawn(3)
    return _sample_attributes(words, name, split), shape, looks


def classes_of(split: Split) -> tuple[str, ...]:
    """Names of the classes that a split draws from."""
    return HELD_OUT_CLASSES if split is Split.HELD_OUT_CLASSES else TRAIN_CLASSES


def caption(
    obj: ToyObject, azimuth_deg: float | None = None, elevation_deg: float | None = None
) -> str:
    """The caption of a toy, such as "a red mug with white stripes, front view".

    Args:
        obj: what to describe.
        azimuth_deg: camera azimuth in degrees, or None to leave the view out.
        elevation_deg: camera elevation in degrees.
    """
    return describe(obj.attributes, azimuth_deg, elevation_deg)


def _sample_attributes(rng: np.random.Generator, name: str, split: Split) -> Attributes:
    hidden = held_out_colours(name)
    colours = tuple(COLOURS)
    if split is Split.TRAIN:
        colours = tuple(c for c in COLOURS if c not in hidden)
    elif split is Split.HELD_OUT:
        colours = tuple(c for c in COLOURS if c in hidden)
    first, second, pattern = random_attributes(
        rng, colours, two_coloured=ALL_CLASSES[name].two_coloured
    )
    finish = FINISHES[int(rng.choice(len(FINISHES), p=_FINISH_ODDS))]
    return Attributes(name, first, second, pattern, finish.name)


def assemble(
    parts: list[Part],
    attributes: Attributes,
    rng: np.random.Generator,
    *,
    split: Split = Split.TRAIN,
    seed: int = 0,
) -> ToyObject:
    """Joins parts to a normalised, painted and lit toy.

    Args:
        parts: painted closed meshes in any unit, +Y up and front +Z.
        attributes: what the toy is to be called; they also choose its colours.
        rng: draws the light, the pattern's scale and the small changes of colour.
        split: recorded in the toy.
        seed: recorded in the toy.
    """
    meshes = [part.mesh for part in parts]
    joined = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float64)
    joined -= 0.5 * (joined.max(0) + joined.min(0))
    scale = 1.0 / float(np.linalg.norm(joined, axis=1).max())
    cell = float(rng.uniform(*_CELL))
    sizes = [len(mesh.vertices) for mesh in meshes]
    starts = np.cumsum([0, *sizes[:-1]])
    counts = [len(mesh.faces) for mesh in meshes]
    paints, palette = _paint(parts, attributes, rng)
    return ToyObject(
        vertices=(joined * scale).astype(np.float32),
        faces=np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
        normals=unit(np.concatenate([mesh.normals for mesh in meshes])),
        uv=np.concatenate([_cells(m.uv, m.wrap, scale / cell) for m in meshes]),
        face_part=np.repeat(np.arange(len(parts)), counts).astype(np.int32),
        face_paint=np.repeat(paints, counts).astype(np.int32),
        palette=palette,
        finish=next(f for f in FINISHES if f.name == attributes.finish),
        light=_light(rng),
        attributes=attributes,
        split=split,
        seed=seed,
    )


def _cells(uv: Float, wrap: float, cells_per_unit: float) -> Float:
    across = cells_per_unit
    if wrap:
        # An even number of cells a turn, so that the pattern meets itself at the seam.
        across = max(2.0, 2.0 * round(wrap * cells_per_unit / 2))
    return np.asarray(uv * np.array([across, cells_per_unit]), np.float32)


def _paint(
    parts: list[Part], attributes: Attributes, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Float]:
    first = jittered(COLOURS[attributes.primary], rng, 0.03)
    second = _neighbour(first)
    if attributes.secondary is not None:
        second = jittered(COLOURS[attributes.secondary], rng, 0.03)
    rows = {PRIMARY: PATTERNED_PAINT, SECONDARY: SECOND_PAINT}
    palette = [first, second]
    if attributes.pattern != "plain":
        # Pattern and trim together would drown the colour that the caption names first.
        rows[SECONDARY] = len(palette)
        palette.append(_neighbour(first))
    for part in parts:
        if part.paint not in rows:
            rows[part.paint] = len(palette)
            palette.append(jittered(ACCENTS[part.paint], rng, 0.015))
    return np.array([rows[part.paint] for part in parts]), np.stack(palette)


def _neighbour(colour: Float) -> Float:
    """A slightly darker (or, of a dark colour, lighter) shade that goes by the same name."""
    dark = float(colour.max()) < 0.3
    return np.asarray(colour * np.float32(1.3 if dark else 0.84))


def _light(rng: np.random.Generator) -> Light:
    direction = np.array([rng.uniform(0.15, 0.75), rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.9)])
    return Light(unit(direction.astype(np.float32)), float(rng.uniform(0.51, 0.57)))
