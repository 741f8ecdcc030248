"""Turned shapes: everything that a potter's wheel could make, about the y axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.toybox.mesh import Float, Int, Mesh, unit

Doubles = NDArray[np.float64]
Profile = Sequence[tuple[float, float]]


def lathe(profile: Profile, segments: int = 20, *, crease: float = 40.0, loop: bool = False) -> Mesh:
    """Turns a profile about the y axis into a closed solid.

    Args:
        profile: (radius, y) points from the bottom of the axis up the outside to the top of the
            axis; both ends must have radius 0 unless ``loop``.
        segments: facets around.
        crease: profile corners sharper than this many degrees are shaded as edges.
        loop: the profile is a closed curve, counter-clockwise in the (radius, y) half plane.
    """
    points = np.asarray(profile, np.float64)
    if loop:
        points = np.concatenate([points, points[:1]])
    steps = np.diff(points, axis=0)
    keep = np.hypot(steps[:, 0], steps[:, 1]) > 1e-9
    starts, ends, steps = points[:-1][keep], points[1:][keep], steps[keep]
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    slopes = np.stack([steps[:, 1], -steps[:, 0]], 1) / lengths[:, None]
    begin, finish = _profile_normals(slopes, crease, loop)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    rings = np.stack([starts, ends], 1).reshape(-1, 2)
    normals = np.stack([begin, finish], 1).reshape(-1, 2)
    v = np.stack([along[:-1], along[1:]], 1).reshape(-1)
    faces = _ring_faces(rings[:, 0], segments)
    turn = np.arange(segments + 1) / segments
    sin, cos = np.sin(2 * math.pi * turn), np.cos(2 * math.pi * turn)
    sin[-1], cos[-1] = sin[0], cos[0]
    vertices = _spin(rings, sin, cos)
    # A pole belongs to one facet at a time: give it that facet's middle turn.
    u = np.where(rings[:, :1] < 1e-9, turn + 0.5 / segments, turn)
    uv = np.stack([u, np.broadcast_to(v[:, None], u.shape)], -1).reshape(-1, 2)
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        faces,
        unit(_spin(normals, sin, cos).reshape(-1, 3).astype(np.float32)),
        uv.astype(np.float32),
        wrap=float(2 * math.pi * points[:, 0].max()),
    )


def _spin(ring: Doubles, sin: Doubles, cos: Doubles) -> Doubles:
    height = np.broadcast_to(ring[:, 1:2], (len(ring), len(sin)))
    return np.stack([ring[:, :1] * sin, height, ring[:, :1] * cos], -1)


def _profile_normals(slopes: Doubles, crease: float, loop: bool) -> tuple[Doubles, Doubles]:
    begin, finish = slopes.copy(), slopes.copy()
    following = np.roll(slopes, -1, 0)
    soft = (slopes * following).sum(1) > math.cos(math.radians(crease))
    if not loop:
        soft[-1] = False
    middle = slopes + following
    finish[soft] = middle[soft]
    begin[np.roll(soft, 1)] = middle[soft]
    return begin, finish


def _ring_faces(radii: Doubles, segments: int) -> Int:
    width = segments + 1
    k = np.arange(segments)
    faces = []
    for first in range(0, len(radii), 2):
        low, high = first * width + k, (first + 1) * width + k
        if radii[first] > 1e-9:
            faces.append(np.stack([low, low + 1, high + (radii[first + 1] > 1e-9)], 1))
        if radii[first + 1] > 1e-9:
            faces.append(np.stack([low, high + 1, high], 1))
    return np.concatenate(faces).astype(np.int32)


def sphere(radius: float = 1.0, segments: int = 16, rings: int = 9) -> Mesh:
    """A ball about the origin."""
    angles = np.linspace(-0.5 * math.pi, 0.5 * math.pi, rings + 1)
    profile = [(radius * math.cos(a), radius * math.sin(a)) for a in angles]
    profile[0], profile[-1] = (0.0, -radius), (0.0, radius)
    return lathe(profile, segments, crease=90.0)


def ellipsoid(x: float, y: float, z: float, segments: int = 16, rings: int = 9) -> Mesh:
    """An ellipsoid about the origin with the given half axes."""
    return sphere(1.0, segments, rings).stretch(x, y, z)


def bead(radius: float) -> Mesh:
    """A coarse small ball about the origin, for eyes and knobs."""
    return sphere(radius, 8, 5)


def cylinder(radius: float, height: float, top: float | None = None, segments: int = 16) -> Mesh:
    """An upright cylinder or truncated cone standing on y = 0; ``top`` is the upper radius."""
    upper = radius if top is None else top
    return lathe([(0, 0), (radius, 0), (upper, height), (0, height)], segments)


def cone(radius: float, height: float, segments: int = 16) -> Mesh:
    """An upright cone standing on y = 0."""
    return lathe([(0, 0), (radius, 0), (0, height)], segments)


def capsule(radius: float, height: float, segments: int = 12) -> Mesh:
    """An upright capsule from y = 0 to y = ``height``."""
    angles = np.linspace(0.0, 0.5 * math.pi, 5)
    low = [(radius * math.sin(a), radius * (1 - math.cos(a))) for a in angles]
    high = [(r, height - y) for r, y in reversed(low)]
    return lathe([*low, *high], segments, crease=60.0)


def torus(radius: float, thickness: float, segments: int = 20, sides: int = 8) -> Mesh:
    """A ring lying in the plane y = 0; ``thickness`` is the radius of its tube."""
    angles = np.arange(sides) * (2 * math.pi / sides)
    profile = [(radius + thickness * math.cos(a), thickness * math.sin(a)) for a in angles]
    return lathe(profile, segments, crease=90.0, loop=True)


def dome(radius: float, height: float, segments: int = 16, rings: int = 5) -> Mesh:
    """The upper half of an ellipsoid standing on y = 0."""
    angles = np.linspace(0.0, 0.5 * math.pi, rings + 1)
    curve = [(radius * math.cos(a), height * math.sin(a)) for a in angles[:-1]]
    return lathe([(0, 0), *curve, (0, height)], segments)


def wheel(radius: float, width: float, segments: int = 14) -> Mesh:
    """A disc about the x axis, centred at the origin."""
    return cylinder(radius, width, segments=segments).move(y=-width / 2).turn("z", 90)


def circle(radius: float, count: int) -> Float:
    """Returns (count, 2) float32 points on a circle, counter-clockwise from +x."""
    angles = np.arange(count) * (2 * math.pi / count)
    return (radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)
