"""The shapes that toys are made of, in one place."""

from __future__ import annotations

from lift3d_ray.toybox.mesh import Mesh, merge
from lift3d_ray.toybox.rounds import (
    bead,
    capsule,
    cone,
    cylinder,
    dome,
    ellipsoid,
    lathe,
    sphere,
    torus,
    wheel,
)
from lift3d_ray.toybox.solids import arc, box, loft, oval_section, prism, tube

__all__ = [
    "Mesh",
    "arc",
    "bead",
    "box",
    "capsule",
    "cone",
    "cylinder",
    "dome",
    "ellipsoid",
    "lathe",
    "loft",
    "merge",
    "oval_section",
    "prism",
    "sphere",
    "torus",
    "tube",
    "wheel",
]
