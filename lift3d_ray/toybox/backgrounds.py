"""Rooms behind toys, shadows below them, and what a camera adds to a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lift3d_ray.cameras import DEFAULT_FOVY_DEG, Framing
from lift3d_ray.mesh.zbuffer import nearest_faces
from lift3d_ray.toybox.mesh import Float
from lift3d_ray.toybox.render import project_vertices
from lift3d_ray.toybox.textures import clutter, noise, random_colour, surface
from lift3d_ray.toybox.world import ToyObject

STYLES: tuple[str, ...] = ("white", "plain", "gradient", "surface", "room")
_STYLE_ODDS = (0.12, 0.1, 0.1, 0.2, 0.48)


def background(
    rng: np.random.Generator, size: int, floor_row: float | None = None
) -> tuple[Float, str]:
    """Draws what is to be seen behind a toy.

    Args:
        rng: source of randomness.
        size: side in pixels.
        floor_row: pixel row at which wall and floor meet, or None where no floor is to be seen.

    Returns:
        the picture, (size, size, 3) float32 in [0, 1], and its style, one of ``STYLES``.
    """
    style = STYLES[int(rng.choice(len(STYLES), p=_STYLE_ODDS))]
    if style == "white":
        return np.ones((size, size, 3), np.float32), style
    if style == "plain":
        return np.broadcast_to(random_colour(rng), (size, size, 3)).copy(), style
    if style == "gradient":
        return _gradient(rng, size), style
    picture = surface(rng, size)
    if style == "room" and floor_row is not None:
        soft = max(0.5, size * float(rng.uniform(0.0, 0.02)))
        below = np.clip((np.arange(size) + 0.5 - floor_row) / soft + 0.5, 0, 1)
        share = below[:, None, None].astype(np.float32)
        wall = clutter(rng, picture, int(rng.integers(0, 9)))
        return wall * (1 - share) + surface(rng, size) * share, style
    return clutter(rng, picture, int(rng.integers(0, 13))), style


def _gradient(rng: np.random.Generator, size: int) -> Float:
    ramp = np.clip(0.5 + 0.5 * noise(rng, size, (1, 1), 1), 0, 1)[..., None]
    return np.asarray(random_colour(rng) * ramp + random_colour(rng) * (1 - ramp), np.float32)


def composite(rgb: Float, alpha: Float, behind: Float) -> Float:
    """Puts a rendered toy in front of another picture.

    Args:
        rgb: (H, W, 3) float32, the toy over white as ``render`` gives it.
        alpha: (H, W) float32 coverage.
        behind: (H, W, 3) float32 picture.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    clear = 1 - alpha[..., None]
    return np.clip(rgb - clear + behind * clear, 0, 1).astype(np.float32)


def shadow(
    obj: ToyObject, c2w_44: Float, framing: Framing, size: int, rng: np.random.Generator
) -> Float:
    """The soft shadow that a toy casts on the floor it stands on.

    Args:
        obj: the toy; the floor is the plane through its lowest vertex.
        c2w_44: (4, 4) float32 camera-to-world.
        framing: zoom and shift of the picture.
        size: side of the picture in pixels.
        rng: draws length, strength and softness.

    Returns:
        (size, size) float32 darkness in [0, 1]; 0 where there is no shadow.
    """
    length, strength = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.25, 0.6))
    softness = size * float(rng.uniform(0.006, 0.03))
    floor = float(obj.vertices[:, 1].min())
    height = obj.vertices[:, 1:2] - floor
    fallen = obj.vertices - height * obj.light.direction * (length / obj.light.direction[1])
    fallen[:, 1] = floor
    x, y, depth = project_vertices(
        fallen, c2w_44[None], fovy_deg=DEFAULT_FOVY_DEG, size=size, framing=framing
    )
    dark = np.zeros(size * size, np.uint8)
    dark[nearest_faces(x, y, np.reciprocal(depth), obj.faces, size).pixel_P] = 255
    blurred = Image.fromarray(dark.reshape(size, size)).filter(ImageFilter.GaussianBlur(softness))
    return np.asarray(blurred).astype(np.float32) * np.float32(strength / 255)


def photograph(picture: Float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Adds a mild colour cast, vignette, blur and sensor noise.

    Args:
        picture: (H, W, 3) float32 in [0, 1].
        rng: source of randomness.

    Returns:
        (H, W, 3) uint8.
    """
    size = len(picture)
    gain = 1 + rng.uniform(-0.06, 0.06, 3) + rng.uniform(-0.08, 0.06)
    result = picture ** float(rng.uniform(0.88, 1.14)) * gain.astype(np.float32)
    if rng.random() < 0.3:
        ramp = np.linspace(-1, 1, size, dtype=np.float32) ** 2
        result = result * (1 - float(rng.uniform(0, 0.15)) * (ramp[None] + ramp[:, None]))[..., None]
    if rng.random() < 0.35:
        image = Image.fromarray(np.round(np.clip(result, 0, 1) * 255).astype(np.uint8))
        sigma = size / 128 * float(rng.uniform(0.2, 0.7))
        result = np.asarray(image.filter(ImageFilter.GaussianBlur(sigma))).astype(np.float32) / 255
    if rng.random() < 0.6:
        spread = np.float32(rng.uniform(0, 0.03))
        result = result + spread * rng.standard_normal(result.shape, dtype=np.float32)
    return np.asarray(np.round(np.clip(result, 0, 1) * 255), np.uint8)


def framed(
    obj: ToyObject, c2w_44: Float, share: float, centre: tuple[float, float]
) -> Framing:
    """The framing that gives a toy a chosen size and place in the picture.

    Args:
        obj: the toy.
        c2w_44: (4, 4) float32 camera-to-world.
        share: longer side of its bounding box in picture widths.
        centre: where the box's middle goes, right and up, in half picture widths.
    """
    x, y, _ = project_vertices(
        obj.vertices, c2w_44[None], fovy_deg=DEFAULT_FOVY_DEG, size=2, framing=Framing()
    )
    right, up = x[0] - 1, 1 - y[0]
    scale = 2 * share / float(max(np.ptp(right), np.ptp(up)))
    middle = [0.5 * float(v.max() + v.min()) for v in (right, up)]
    return replace(
        Framing(), focal_scale=scale,
        shift_x=centre[0] - scale * middle[0], shift_y=centre[1] - scale * middle[1],
    )
