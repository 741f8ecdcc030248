"""Photo-like pictures with a toy as their main subject and exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, orbit_c2w, project
from lift3d_ray.toybox.backgrounds import background, composite, framed, photograph, shadow
from lift3d_ray.toybox.mesh import Float
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import Renders, render
from lift3d_ray.toybox.toys import data_toy
from lift3d_ray.toybox.world import ToyObject

MAIN = 1
_COUNT_ODDS = (0.55, 0.3, 0.15)
_MOST_COVERED = 0.06
_INSIDE = 0.85


@dataclass(frozen=True)
class Scene:
    """A picture of a toy among other things.

    Attributes:
        rgb: (S, S, 3) uint8 sRGB.
        ids: (S, S) uint8; 0 background, 1 the main toy, 2 and 3 smaller ones.
        depth: (S, S) float32 z-depth of the main toy in world units, 0 outside its mask.
        c2w: (4, 4) float32 camera of the main toy.
        framing: zoom and shift of that camera.
        azimuth_deg: its azimuth.
        elevation_deg: its elevation.
        obj: the main toy.
        style: one of ``backgrounds.STYLES``.
    """

    rgb: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth: Float
    c2w: Float
    framing: Framing
    azimuth_deg: float
    elevation_deg: float
    obj: ToyObject
    style: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(S, S) bool, where the main toy is to be seen."""
        return np.asarray(self.ids == MAIN)


@dataclass(frozen=True)
class _Shot:
    obj: ToyObject
    c2w: Float
    framing: Framing
    renders: Renders
    azimuth_deg: float
    elevation_deg: float


def scene(seed: int, *, size: int = 128, split: Split = Split.TRAIN) -> Scene:
    """Draws a picture; the same arguments always give the same one.

    Args:
        seed: any non-negative number.
        size: side of the picture in pixels.
        split: where all its toys are drawn from.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 77]))
    elevation = float(rng.uniform(-5, 40))
    share = float(rng.uniform(0.35, 0.9))
    room = _INSIDE * (1 - share)
    centre = (float(rng.uniform(-room, room)), float(rng.uniform(-room, room)))
    main = _shot(rng, size, split, elevation, share=share, centre=centre)
    picture, style = background(rng, size, _floor_row(main, size, rng))
    others = []
    if style not in ("white", "plain"):
        for _ in range(int(rng.choice(3, p=_COUNT_ODDS))):
            smaller = share * float(rng.uniform(0.25, 0.55))
            # Its foot stands about as high in the picture as the main toy's.
            foot = centre[1] - share + float(rng.uniform(-0.15, 0.5))
            beside = (float(rng.uniform(-1, 1)), foot + smaller)
            others.append(_shot(rng, size, split, elevation, share=smaller, centre=beside))
    ids = np.zeros((size, size), np.uint8)
    behind, front = _arranged(main, others)
    # A toy in front of nothing but white, as in a catalogue, has no shadow half of the time.
    grounded = elevation > 2 and (style != "white" or rng.random() < 0.5)
    for number, shot in [*behind, (MAIN, main), *front]:
        if grounded:
            dark = shadow(shot.obj, shot.c2w, shot.framing, size, rng)
            picture = picture * (1 - dark[..., None])
        alpha = shot.renders.alpha[0]
        picture = composite(shot.renders.rgb[0], alpha, picture)
        ids[alpha >= 0.5] = number
    return Scene(
        rgb=photograph(picture, rng), ids=ids,
        depth=np.where(ids == MAIN, main.renders.depth[0], 0).astype(np.float32),
        c2w=main.c2w, framing=main.framing, azimuth_deg=main.azimuth_deg,
        elevation_deg=elevation, obj=main.obj, style=style,
    )


def _shot(
    rng: np.random.Generator, size: int, split: Split, elevation: float, *,
    share: float, centre: tuple[float, float],
) -> _Shot:
    """Renders a random toy from a random side, so large and there in the picture."""
    obj = data_toy(int(rng.integers(1 << 62)), split=split)
    azimuth = float(rng.uniform(0, 360))
    c2w = orbit_c2w(azimuth, elevation, DEFAULT_RADIUS)[0]
    framing = framed(obj, c2w, share, centre)
    renders = render(obj, c2w[None], size=size, framing=framing)
    return _Shot(obj, c2w, framing, renders, azimuth, elevation)


def _floor_row(main: _Shot, size: int, rng: np.random.Generator) -> float | None:
    """Row at which the floor ends, some way behind the toy that stands on it."""
    distance = float(rng.uniform(1.3, 6.0))
    if main.elevation_deg <= 2:
        return None
    azimuth = np.radians(main.azimuth_deg)
    floor = float(main.obj.vertices[:, 1].min())
    point = np.array([[-distance * np.sin(azimuth), floor, -distance * np.cos(azimuth)]], np.float32)
    return float(project(point, main.c2w, size, framing=main.framing)[0][0, 1])


def _arranged(
    main: _Shot, others: list[_Shot]
) -> tuple[list[tuple[int, _Shot]], list[tuple[int, _Shot]]]:
    """Numbers the smaller toys; those that would hide much of the main one go behind it."""
    behind: list[tuple[int, _Shot]] = []
    front: list[tuple[int, _Shot]] = []
    mask = main.renders.alpha[0] >= 0.5
    for number, shot in enumerate(others, MAIN + 1):
        covered = float((mask & (shot.renders.alpha[0] > 0)).sum()) / max(int(mask.sum()), 1)
        (front if covered < _MOST_COVERED else behind).append((number, shot))
    return behind, front
