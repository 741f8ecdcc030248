"""Toys of other proportions: a toy's space stretched smoothly along its three axes.

The classes draw their proportions from fixed ranges, and a model that has seen only those measures the next mug by
them. A warp along the axes, each by a monotone function of its own coordinate, keeps boxes boxes, left and right alike
and what is on top on top, but makes legs longer, lids thicker and bellies wider than any class does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import Float, unit
from lift3d_ray.toybox.world import ToyObject

_HEIGHT_SPREAD = 0.25
"""Largest change of the height against the width, in logarithms."""
_FLATNESS_SPREAD = 0.06
"""Deviation of depth against width: small, since most round things are round and a picture shows only one of both."""
_UNEVENNESS = 0.4
"""Largest change of the local scale along an axis, in logarithms."""
Float64 = NDArray[np.float64]
_KNOTS: Float64 = np.linspace(-1.0, 1.0, 129)


def warp_toy(toy: ToyObject, rng: np.random.Generator) -> ToyObject:
    """The toy in other proportions; colours, pattern cells, light and words stay.

    Args:
        toy: normalised, as ``sample_object`` gives it.
        rng: draws the proportions.

    Returns:
        a toy normalised in the same way: box centred at the origin, farthest vertex at distance 1.
    """
    sideways = _even(rng)
    height = np.exp(rng.uniform(-_HEIGHT_SPREAD, _HEIGHT_SPREAD))
    depth = np.exp(rng.normal(0, _FLATNESS_SPREAD))
    axes = (sideways, _any(rng), sideways)
    before = toy.vertices.astype(np.float64)
    moved, slopes = np.empty_like(before), np.empty_like(before)
    for k, (log_slope, scale) in enumerate(zip(axes, (1.0, height, depth), strict=True)):
        moved[:, k], slopes[:, k] = _along(before[:, k], log_slope, float(scale))
    return replace(
        toy,
        vertices=in_unit_ball(moved),
        # Normals follow the inverse transpose of the Jacobian, which is diagonal.
        normals=unit((toy.normals / slopes).astype(np.float32)),
    )


def in_unit_ball(vertices_V3: Float64) -> Float:
    """Moved and scaled as every toy is: box centred at the origin, farthest vertex at distance 1; float32."""
    centred = vertices_V3 - 0.5 * (vertices_V3.max(0) + vertices_V3.min(0))
    return np.asarray(centred / np.linalg.norm(centred, axis=1).max(), dtype=np.float32)


def _even(rng: np.random.Generator) -> Callable[[Float64], Float64]:
    """A logarithm of the local scale that is the same left and right."""
    amount, waves = rng.uniform(-_UNEVENNESS, _UNEVENNESS), rng.uniform(0.5, 1.5)
    return lambda u: np.asarray(amount * np.cos(np.pi * waves * u))


def _any(rng: np.random.Generator) -> Callable[[Float64], Float64]:
    """A logarithm of the local scale that may differ below and above."""
    amount, waves, phase = rng.uniform(0, _UNEVENNESS), rng.uniform(0.5, 1.5), rng.uniform(0, 2 * np.pi)
    return lambda u: np.asarray(amount * np.cos(np.pi * waves * u + phase))


def _along(
    values_V: Float64, log_slope: Callable[[Float64], Float64], scale: float
) -> tuple[Float64, Float64]:
    """One coordinate through the monotone function of this slope, and the slope there."""
    slope = scale * np.exp(log_slope(_KNOTS))
    steps = 0.5 * (slope[1:] + slope[:-1]) * np.diff(_KNOTS)
    moved = np.interp(values_V, _KNOTS, np.concatenate([[0.0], np.cumsum(steps)]))
    return moved, np.interp(values_V, _KNOTS, slope)
