"""Fewer triangles for the same shape: quadric edge collapse (Garland and Heckbert 1997)."""

from __future__ import annotations

import logging

import numpy as np

from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import Int32, compact, face_volumes, is_watertight
from lift3d_ray.types import Float32

VOLUME_TOLERANCE = 0.05

_log = logging.getLogger(__name__)


def simplify(vertices_N3: Float32, faces_F3: Int32, *, target_faces: int) -> tuple[Float32, Int32]:
    """The mesh with at most about ``target_faces`` triangles, wound as before.

    A collapse that would open a watertight mesh, or change its volume by more than 5 %, is not worth its triangles:
    twice and four times as many are tried then, and at last the mesh comes back whole. A log line says so.

    Args:
        vertices_N3: (N, 3) float32.
        faces_F3: (F, 3) int32.
        target_faces: number of triangles wanted, at least 4.

    Returns:
        vertices and faces, without faces that lack an area, or vertices that lack a face.
    """
    if target_faces < 4:
        raise ConfigError(f"target_faces must be at least 4 (a tetrahedron), got {target_faces}")
    if len(faces_F3) <= target_faces:
        return vertices_N3, faces_F3
    for target in (target_faces, 2 * target_faces, 4 * target_faces):
        if len(faces_F3) <= target:
            break
        thin = _collapse(vertices_N3, faces_F3, target)
        damage = _damage((vertices_N3, faces_F3), thin)
        if not damage:
            return thin
        _log.info("simplifying %d faces to %d %s", len(faces_F3), target, damage)
    _log.warning("kept all %d faces: the mesh is too tangled to be simplified to %d", len(faces_F3), target_faces)
    return vertices_N3, faces_F3


def _collapse(vertices_N3: Float32, faces_F3: Int32, target_faces: int) -> tuple[Float32, Int32]:
    import fast_simplification

    vertices, faces = fast_simplification.simplify(
        np.ascontiguousarray(vertices_N3, dtype=np.float32),
        np.ascontiguousarray(faces_F3, dtype=np.int32),
        target_count=target_faces,
    )
    return compact(np.asarray(vertices, dtype=np.float32), np.asarray(faces, dtype=np.int32))


def _damage(before: tuple[Float32, Int32], after: tuple[Float32, Int32]) -> str:
    """What a collapse broke, in words; empty where nothing."""
    if len(after[1]) < 4:
        return "left nothing"
    volume_before, volume_after = (float(face_volumes(*mesh).sum()) for mesh in (before, after))
    if abs(volume_after - volume_before) > VOLUME_TOLERANCE * abs(volume_before):
        return f"changed the volume from {volume_before:.4g} to {volume_after:.4g}"
    if is_watertight(before[1]) and not is_watertight(after[1]):
        return "opened the surface"
    return ""
