"""More vertices where they are wanted: marked edges are halved, and the faces along them cut to fit.

The surface keeps its shape and stays watertight (red-green refinement: Bank, Sherman and Weiser 1983).
Shape suffixes: N vertices, F faces, E edges.
"""

from __future__ import annotations

import numpy as np

from lift3d_ray.mesh.geometry import Int32, unit
from lift3d_ray.types import Bool, Float32, Int64, Mesh


def unique_edges(faces_F3: Int32) -> tuple[Int64, Int64]:
    """The mesh's edges, each once.

    Returns:
        edges (E, 2) of vertex indices, the lower first, and (F, 3) the edge from each face's corner k to corner k + 1.
    """
    start = faces_F3.astype(np.int64)
    end = np.roll(start, -1, axis=1)
    stride = int(start.max(initial=0)) + 1
    keys, index = np.unique((np.minimum(start, end) * stride + np.maximum(start, end)).reshape(-1), return_inverse=True)
    return np.stack(np.divmod(keys, stride), axis=-1), index.reshape(-1, 3)


def split_edges(mesh: Mesh, edges_E2: Int64, edge_of_F3: Int64, marked_E: Bool) -> Mesh:
    """The same surface with a vertex in the middle of every marked edge.

    Args:
        mesh: the mesh; normals and colours of the new vertices are the means of their edges' ends.
        edges_E2: its edges, as ``unique_edges`` gives them.
        edge_of_F3: the edges of its faces, likewise.
        marked_E: which edges to halve.
    """
    ends = edges_E2[marked_E]
    middle_E = np.full(len(edges_E2), -1, dtype=np.int64)
    middle_E[marked_E] = len(mesh.vertices_N3) + np.arange(len(ends))

    def grown(values_N3: Float32) -> Float32:
        return np.concatenate([values_N3, values_N3[ends].mean(axis=1)]).astype(np.float32)

    return Mesh(
        vertices_N3=grown(mesh.vertices_N3),
        faces_F3=_cut(mesh.faces_F3.astype(np.int64), middle_E[edge_of_F3]).astype(np.int32),
        normals_N3=unit(grown(mesh.normals_N3)),
        colors_N3=grown(mesh.colors_N3),
    )


def _cut(faces_F3: Int64, middle_F3: Int64) -> Int64:
    """Faces cut at their edges' middles; -1 where an edge has none. Winding is kept."""
    count = (middle_F3 >= 0).sum(axis=1)
    whole = faces_F3[count == 0]
    # Turned so that the only marked edge is the first, or the only unmarked edge is the last.
    one, (m, _, _) = _turned(faces_F3[count == 1], middle_F3[count == 1], middle_F3[count == 1] >= 0, 0)
    a, b, c = one
    halves = [(a, m, c), (m, b, c)]
    two, (m, n, _) = _turned(faces_F3[count == 2], middle_F3[count == 2], middle_F3[count == 2] < 0, 2)
    a, b, c = two
    thirds = [(m, b, n), (a, m, n), (a, n, c)]
    (a, b, c), (m, n, o) = faces_F3[count == 3].T, middle_F3[count == 3].T
    quarters = [(a, m, o), (m, b, n), (o, n, c), (m, n, o)]
    return np.concatenate([whole, *(np.stack(corners, axis=-1) for corners in [*halves, *thirds, *quarters])])


def _turned(faces_F3: Int64, middle_F3: Int64, special_F3: Bool, place: int) -> tuple[Int64, Int64]:
    """(3, F) corners and (3, F) middles, turned so that each face's only special edge comes at ``place``."""
    shift = (np.argmax(special_F3, axis=1) - place) % 3
    order = (np.arange(3) + shift[:, None]) % 3
    return np.take_along_axis(faces_F3, order, axis=1).T, np.take_along_axis(middle_F3, order, axis=1).T
