"""Colours for what no photo shows, from places like it that one does: as high, as far from the axis, facing alike.

Turned things have one colour all round at a height, legs of tables are alike, and soles are; there the seen places
agree with one another and stand for the hidden ones. Where they disagree, or say something quite different from the
field (the white belly of a penguin whose back is green), the field's colour stays.

Shape suffixes: N vertices, K hidden ones, D numbers that tell places apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from lift3d_ray.mesh.photo_view import smoothstep
from lift3d_ray.types import Float32, Mesh

_SEEN, _HIDDEN = 0.8, 0.999
"""Weights of the photos from which on a vertex counts as seen, and below which as not wholly so."""
_FEWEST = 100
_NEIGHBOURS = 32
_FACING = 0.15
"""What a unit of the normal counts beside a unit of height, so that a lid does not colour a wall."""
_REACH = (0.05, 0.1)
"""Median distance to the likest seen places, in those units, up to which they count, and from which on they do not."""
_CONTRADICTION = (0.35, 0.6)
"""The same for the distance, in sRGB, of their colour from the field's."""


def color_by_likeness(mesh: Mesh, weight_N: Float32, spread: float) -> Mesh:
    """The mesh with colours of seen places on the hidden ones that are like them.

    Args:
        mesh: with the photos laid on.
        weight_N: (N,) in [0, 1] how far each vertex is seen by one of them (``photo_weights``).
        spread: root mean square deviation of the likest places' colours, in sRGB, at which they say nothing any more.
    """
    seen_N, hidden_N = weight_N > _SEEN, weight_N < _HIDDEN
    if seen_N.sum() < _FEWEST or not hidden_N.any():
        return mesh
    places_ND = _places(mesh)
    distance_KM, nearest_KM = cKDTree(places_ND[seen_N]).query(places_ND[hidden_N], k=_NEIGHBOURS)
    colors_KM3 = mesh.colors_N3[seen_N][nearest_KM]
    middle_K3 = np.median(colors_KM3, axis=1)
    deviation_K = np.sqrt(((colors_KM3 - middle_K3[:, None]) ** 2).sum(-1).mean(1))
    against_K = np.linalg.norm(middle_K3 - mesh.colors_N3[hidden_N], axis=1)
    trust_K = (
        (1 - smoothstep(deviation_K, 0.4 * spread, spread))
        * (1 - smoothstep(np.median(distance_KM, axis=1), *_REACH))
        * (1 - smoothstep(against_K, *_CONTRADICTION))
    )
    share_K1 = (trust_K * (1 - weight_N[hidden_N]))[:, None]
    colors_N3 = mesh.colors_N3.copy()
    colors_N3[hidden_N] += share_K1 * (middle_K3 - colors_N3[hidden_N])
    return replace(mesh, colors_N3=colors_N3)


def _places(mesh: Mesh) -> Float32:
    """(N, D) height, distance from the upright axis through the middle, and how far a place faces up and outwards."""
    low, high = np.quantile(mesh.vertices_N3, (0.02, 0.98), axis=0)
    flat_N2 = (mesh.vertices_N3 - (low + high) / 2)[:, [0, 2]]
    away_N = np.linalg.norm(flat_N2, axis=1)
    outward_N = (mesh.normals_N3[:, [0, 2]] * flat_N2).sum(1) / np.maximum(away_N, 1e-4)
    places = [mesh.vertices_N3[:, 1], away_N, _FACING * mesh.normals_N3[:, 1], _FACING * outward_N]
    return np.stack(places, axis=1).astype(np.float32)
