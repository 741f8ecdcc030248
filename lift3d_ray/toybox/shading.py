"""The colour of a visible surface point: pattern, key light, sky and highlight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import Float, unit
from lift3d_ray.toybox.palette import second_colour
from lift3d_ray.toybox.world import PATTERNED_PAINT, SECOND_PAINT, ToyObject

_SKY = 0.10


def albedo(obj: ToyObject, face: NDArray[np.int64], uv: Float) -> Float:
    """Surface colour without light.

    Args:
        obj: the toy.
        face: (P,) face of each point.
        uv: (P, 2) float32 pattern coordinates of each point.

    Returns:
        (P, 3) float32 in [0, 1].
    """
    paint = obj.face_paint[face]
    if obj.attributes.pattern != "plain":
        patterned = np.flatnonzero(paint == PATTERNED_PAINT)
        second = second_colour(obj.attributes.pattern, uv[patterned])
        paint[patterned[second]] = SECOND_PAINT
    return np.asarray(obj.palette[paint])


def lit(obj: ToyObject, colour: Float, normals: Float, towards_eye: Float) -> Float:
    """Colour under the toy's light.

    Args:
        obj: the toy, with its light and finish.
        colour: (P, 3) float32 surface colours.
        normals: (P, 3) float32 unit normals, world frame.
        towards_eye: (P, 3) or (3,) float32 unit vectors towards the camera, world frame.

    Returns:
        (P, 3) float32 in [0, 1].
    """
    light, finish = obj.light, obj.finish
    # Half-Lambert keeps form visible on the far side, where plain Lambert would be flat.
    facing = 0.5 + 0.5 * (normals @ light.direction)
    shade = light.ambient + _SKY * normals[:, 1] + finish.contrast * facing * facing
    result = colour * shade[:, None]
    if finish.highlight > 0:
        half = unit(towards_eye + light.direction)
        glint = np.maximum((normals * half).sum(-1), 0)
        for _ in range(finish.doublings):
            glint = glint * glint
        tint = 1 + finish.tint * (colour - 1)
        result = result + finish.highlight * glint[:, None] * tint
    return np.clip(result, 0, 1).astype(np.float32)
