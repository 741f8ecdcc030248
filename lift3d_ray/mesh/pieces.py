"""Which pieces of a surface belong to the subject.

A fitted field leaves floaters: small bodies that nothing asked for. It also breaks thin parts off: the handle of an
umbrella behind a gap in its stick. The photo tells the two apart, for it shows the handle.

Shape suffixes: N vertices, F faces, P pieces, G cells along a side of the photo.
"""

from __future__ import annotations

import numpy as np

from lift3d_ray.mesh.geometry import Int32, compact, face_volumes, pieces_of
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.rasterize import cast, drawn_faces
from lift3d_ray.types import Bool, Float32, Int64

CELLS = 64
"""Cells along a side of the photo, in which is compared what it shows."""
MIN_VOLUME = 0.05
"""A piece of this share of the largest one's volume is no floater."""
MIN_SHOWN = 0.004
"""Neither is one that fills this share of the subject's picture where no larger piece does."""
_SPECK = 1e-4
"""What is smaller, as a share of the largest piece's volume, is not looked for in the photo."""


def drop_floaters(
    vertices_N3: Float32,
    faces_F3: Int32,
    view: PhotoView,
    *,
    min_volume: float = MIN_VOLUME,
    min_shown: float = MIN_SHOWN,
) -> tuple[Float32, Int32]:
    """The surface without pieces that are small and that the photo does not ask for.

    Args:
        vertices_N3: (N, 3) float32 world positions.
        faces_F3: (F, 3) int32, closed and wound outwards.
        view: the photo with its camera.
        min_volume: pieces from this share of the largest one's volume on stay.
        min_shown: so do pieces that cover this share of the subject's picture where no larger kept piece does.
    """
    piece_F = pieces_of(faces_F3, len(vertices_N3))
    volume_P = np.bincount(piece_F, face_volumes(vertices_N3, faces_F3))
    share_P = volume_P / volume_P.max()
    kept_P = share_P >= min_volume
    missing_C = _subject(view.subject.alpha_HW)
    wanted = max(1.0, min_shown * missing_C.sum())
    missing_C[_covered(vertices_N3, faces_F3[kept_P[piece_F]], view)] = False
    for piece in np.argsort(-share_P):
        if _SPECK <= share_P[piece] < min_volume:
            covered = _covered(vertices_N3, faces_F3[piece_F == piece], view)
            if missing_C[covered].sum() >= wanted:
                kept_P[piece] = True
                missing_C[covered] = False
    return compact(vertices_N3, faces_F3[kept_P[piece_F]])


def _subject(alpha_HW: Float32) -> Bool:
    """(G * G,) cells whose centre is the subject's."""
    rows, columns = (((np.arange(CELLS) + 0.5) * side / CELLS).astype(np.int64) for side in alpha_HW.shape)
    return np.asarray(alpha_HW[np.ix_(rows, columns)].reshape(-1) > 0.5)


def _covered(vertices_N3: Float32, faces_F3: Int32, view: PhotoView) -> Int64:
    """Numbers of the cells at whose centres the photo would see these faces."""
    used_N3, used_F3 = compact(vertices_N3, faces_F3)
    hits = cast(
        used_N3, drawn_faces(used_F3), view.c2w_44[None], size=CELLS, fovy_deg=view.fovy_deg, framing=view.framing
    )
    return hits.pixel_P
