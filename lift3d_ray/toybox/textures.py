"""Surfaces to put behind a toy: noise, grain, planks, tiles and clutter."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lift3d_ray.toybox.mesh import Float


def noise(rng: np.random.Generator, size: int, cells: tuple[int, int], octaves: int = 3) -> Float:
    """Smooth value noise.

    Args:
        rng: source of randomness.
        size: side in pixels.
        cells: coarsest lattice cells down and across.
        octaves: each has twice the cells and half the strength of the one before.

    Returns:
        (size, size) float32, about within [-1, 1].
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        down, across = (min(size, n << octave) for n in cells)
        lattice = rng.uniform(-1, 1, (down + 1, across + 1)).astype(np.float32)
        layer = Image.fromarray(lattice).resize((size, size), Image.Resampling.BICUBIC)
        total += np.asarray(layer) / (1 << octave)
    return total / np.float32(1.6)


def random_colour(rng: np.random.Generator, vivid: float = 0.5) -> Float:
    """A colour as rooms have it, mostly muted: (3,) float32 in [0, 1]."""
    saturation = float(rng.beta(1.2, 2.5)) if rng.random() > vivid * 0.4 else float(rng.random())
    rgb = colorsys.hsv_to_rgb(float(rng.random()), saturation, float(rng.uniform(0.2, 0.97)))
    return np.array(rgb, np.float32)


def surface(rng: np.random.Generator, size: int) -> Float:
    """A random flat material.

    Returns:
        (size, size, 3) float32 in [0, 1].
    """
    colour, other = random_colour(rng), random_colour(rng)
    kind = int(rng.integers(5))
    strength = float(rng.uniform(0.02, 0.2))
    if kind == 0:
        tone = noise(rng, size, (3, 3), 4)
    elif kind == 1:
        tone = _grain(rng, size)
    elif kind == 2:
        tone = _lattice(rng, size, tiles=bool(rng.random() < 0.5)) + 0.3 * noise(rng, size, (4, 4))
    elif kind == 3:
        tone = np.clip(2.5 * noise(rng, size, (5, 5), 2), -1, 1)
    else:
        tone = rng.uniform(-0.4, 0.4, (size, size)).astype(np.float32)
    if rng.random() < 0.3:
        blend = np.clip(0.5 + 0.5 * tone, 0, 1)[..., None]
        picture = colour * blend + other * (1 - blend)
    else:
        picture = colour + strength * tone[..., None]
    return np.asarray(np.clip(picture + _falloff(rng, size)[..., None], 0, 1), np.float32)


def _grain(rng: np.random.Generator, size: int) -> Float:
    cells = (24, 2) if rng.random() < 0.5 else (2, 24)
    return noise(rng, size, cells, 2)


def _lattice(rng: np.random.Generator, size: int, *, tiles: bool) -> Float:
    """Planks or tiles, leaning by a random angle."""
    angle, period = rng.uniform(0, np.pi), size * rng.uniform(0.06, 0.3)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    u = (x * np.cos(angle) + y * np.sin(angle)) / period
    v = (y * np.cos(angle) - x * np.sin(angle)) / period
    shades = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    column = np.floor(u).astype(int) % 64
    row = np.floor(v).astype(int) % 64 if tiles else np.zeros_like(column)
    gap = (u - np.floor(u)) < 0.06
    if tiles:
        gap |= (v - np.floor(v)) < 0.06
    return np.where(gap, np.float32(-1.5), shades[column, row] * 0.7).astype(np.float32)


def _falloff(rng: np.random.Generator, size: int) -> Float:
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    across, down = rng.normal(0, 0.1, 2)
    return np.asarray(across * ramp[None] + down * ramp[:, None], np.float32)


def clutter(rng: np.random.Generator, picture: Float, count: int) -> Float:
    """Paints blurred boxes, discs and polygons into a picture.

    Args:
        rng: source of randomness.
        picture: (S, S, 3) float32 in [0, 1].
        count: number of shapes.
    """
    size = len(picture)
    image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
    brush = ImageDraw.Draw(image)
    for _ in range(count):
        fill = tuple(int(255 * c) for c in random_colour(rng, 0.8))
        x, y = rng.uniform(0, size, 2)
        w, h = size * rng.uniform(0.05, 0.35, 2)
        kind = int(rng.integers(3))
        if kind == 0:
            brush.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=fill)
        elif kind == 1:
            brush.ellipse((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=fill)
        else:
            turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
            brush.polygon([(x + w * np.cos(t), y + h * np.sin(t)) for t in turns], fill=fill)
    if rng.random() < 0.7:
        image = image.filter(ImageFilter.GaussianBlur(size * float(rng.uniform(0.003, 0.03))))
    return np.asarray(image, np.float32) / np.float32(255)
