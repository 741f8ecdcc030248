"""Small facts about triangle meshes: areas, volumes, normals.

Shape suffixes: N vertices, F faces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from lift3d_ray.types import Float32, Int64

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

TINY = 1e-12


def unit(vectors_N3: NDArray[Any]) -> Float32:
    """(N, 3) float32 vectors scaled to length 1; those without a direction become +Y."""
    wide = np.asarray(vectors_N3, dtype=np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    safe = np.where(length > TINY, wide / np.maximum(length, TINY), np.array([0.0, 1.0, 0.0]))
    return safe.astype(np.float32)


def face_crosses(vertices_N3: Float32, faces_F3: Int32) -> Float64:
    """(F, 3) float64 outward face normals, each as long as twice its face's area."""
    a, b, c = (vertices_N3[faces_F3[:, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a)


def face_volumes(vertices_N3: Float32, faces_F3: Int32) -> Float64:
    """(F,) float64 signed volumes of the tetrahedra between the origin and each face.

    Over the faces of a closed, outward-wound piece they add up to its volume.
    """
    a, b, c = (vertices_N3[faces_F3[:, k]].astype(np.float64) for k in range(3))
    return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6.0)


def edge_matrix(faces_F3: Int32, vertices: int) -> csr_matrix:
    """(N, N) the directed edges of the faces of a mesh with so many vertices, 1 where there is one."""
    start = faces_F3[:, [0, 1, 2]].reshape(-1)
    end = faces_F3[:, [1, 2, 0]].reshape(-1)
    return coo_matrix((np.ones(len(start)), (start, end)), shape=(vertices, vertices)).tocsr()


def pieces_of(faces_F3: Int32, vertices: int) -> Int64:
    """(F,) the number of the connected piece that each face belongs to, of a mesh with so many vertices."""
    _, piece_N = connected_components(edge_matrix(faces_F3, vertices), directed=False)
    return np.asarray(piece_N[faces_F3[:, 0]], dtype=np.int64)


def vertex_normals(vertices_N3: Float32, faces_F3: Int32) -> Float32:
    """(N, 3) float32 unit normals: the mean of the adjoining faces' normals, weighted by their areas."""
    crosses = face_crosses(vertices_N3, faces_F3)
    corner = faces_F3.reshape(-1)
    per_corner = np.repeat(crosses, 3, axis=0)
    summed = [np.bincount(corner, per_corner[:, k], minlength=len(vertices_N3)) for k in range(3)]
    return unit(np.stack(summed, axis=-1))


def compact(vertices_N3: Float32, faces_F3: Int32) -> tuple[Float32, Int32]:
    """The mesh without faces that use a vertex twice, and without vertices that no face uses."""
    a, b, c = faces_F3.T
    kept = faces_F3[(a != b) & (b != c) & (c != a)]
    used = np.zeros(len(vertices_N3), dtype=bool)
    used[kept.reshape(-1)] = True
    renamed = np.cumsum(used) - 1
    return vertices_N3[used], renamed[kept].astype(np.int32)


def is_watertight(faces_F3: Int32) -> bool:
    """Whether every edge is shared by exactly two faces that run along it in opposite directions."""
    edges = faces_F3[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    stride = int(faces_F3.max()) + 1 if len(faces_F3) else 1
    along, counts = np.unique(edges[:, 0] * stride + edges[:, 1], return_counts=True)
    against = np.unique(edges[:, 1] * stride + edges[:, 0])
    return bool((counts == 1).all() and np.array_equal(along, against))
