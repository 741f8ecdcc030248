"""Pictures of a coloured mesh, unlit: its vertex colours are taken as the light that reaches the eye.

Shape suffixes: V views, H W pixels, N vertices, P covered pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, project
from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.geometry import Int32, is_watertight, unit
from lift3d_ray.mesh.zbuffer import Hits, nearest_faces
from lift3d_ray.types import Float32, Mesh, UInt8

NEAREST_DEPTH = 0.05
"""Cameras nearer to the mesh than this, world units, are refused: triangles are not clipped."""

_SAMPLES_A_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class MeshViews:
    """Pictures of a mesh.

    Attributes:
        rgb_VHWC: (V, H, W, 3) float32 sRGB in [0, 1], over white.
        alpha_VHW: (V, H, W) float32 coverage in [0, 1].
        depth_VHW: (V, H, W) float32 mean z-depth of what the pixel sees, world units; 0 where it sees nothing.
        normal_VHWC: (V, H, W, 3) float32 unit normals in the world frame; 0 where the pixel sees nothing.
    """

    rgb_VHWC: Float32
    alpha_VHW: Float32
    depth_VHW: Float32
    normal_VHWC: Float32


def rasterize(
    mesh: Mesh,
    c2w_V44: Float32,
    *,
    size: int,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    framing: Framing = CANONICAL,
    supersample: int = 2,
) -> MeshViews:
    """Draws a mesh from V cameras.

    Args:
        mesh: the mesh; where it is not closed, the insides of its faces are drawn too.
        c2w_V44: (V, 4, 4) float32 camera-to-world.
        size: side of the square pictures in pixels.
        fovy_deg: field of view of the unframed camera, degrees.
        framing: zoom and shift of the pictures.
        supersample: samples a pixel along each axis; the pixel is their mean.

    Raises:
        ConfigError: an argument makes no sense, or the mesh lies behind a camera or very near to it.
    """
    if size < 1 or supersample < 1:
        raise ConfigError(f"size and supersample must be 1 or more, got {size} and {supersample}")
    fine = size * supersample
    table = np.concatenate([mesh.colors_N3, mesh.normals_N3], axis=1)
    both = drawn_faces(mesh.faces_F3)
    chunk = max(1, _SAMPLES_A_CHUNK // fine**2)
    planes = []
    for start in range(0, len(c2w_V44), chunk):
        cameras = c2w_V44[start : start + chunk]
        hits = cast(mesh.vertices_N3, both, cameras, size=fine, fovy_deg=fovy_deg, framing=framing)
        planes.append(_pixels(hits, hits.interpolate(both, table), len(cameras), size, supersample))
    return _views(np.concatenate(planes))


def drawn_faces(faces_F3: Int32) -> Int32:
    """The faces to draw: as they are for a closed mesh, each from both sides for an open one."""
    if is_watertight(faces_F3):
        return faces_F3
    return np.concatenate([faces_F3, faces_F3[:, ::-1]])


def cast(
    vertices_N3: Float32,
    faces_F3: NDArray[np.int32],
    c2w_V44: Float32,
    *,
    size: int,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    framing: Framing = CANONICAL,
) -> Hits:
    """What the pixels of V pictures of ``size`` x ``size`` see of the triangles' outsides.

    Raises:
        ConfigError: a vertex lies behind a camera or very near to it.
    """
    projected = [project(vertices_N3, c2w_44, size, fovy_deg=fovy_deg, framing=framing) for c2w_44 in c2w_V44]
    xy_VN2, depth_VN = (np.stack(parts) for parts in zip(*projected, strict=True))
    nearest = float(depth_VN.min(initial=np.inf))
    if nearest < NEAREST_DEPTH:
        raise ConfigError(
            f"the mesh comes to a depth of {nearest:.3g} in front of a camera, wanted at least {NEAREST_DEPTH}: "
            "move the camera back"
        )
    return nearest_faces(xy_VN2[..., 0], xy_VN2[..., 1], np.reciprocal(depth_VN), faces_F3, size)


def normal_colors(views: MeshViews, c2w_V44: Float32) -> UInt8:
    """(V, H, W, 3) uint8 pictures of the normals as their cameras see them, over white.

    Red points right, green up, blue towards the eye.
    """
    local = np.einsum("vhwi,vij->vhwj", views.normal_VHWC, c2w_V44[:, :3, :3])
    alpha = views.alpha_VHW[..., None]
    return to_uint8((local * 0.5 + 0.5) * alpha + (1 - alpha))


def to_uint8(rgb: Float32) -> UInt8:
    """Colours in [0, 1] as uint8."""
    return np.asarray(np.round(np.clip(rgb, 0.0, 1.0) * 255), dtype=np.uint8)


def _pixels(hits: Hits, painted_P6: Float32, views: int, size: int, supersample: int) -> Float32:
    """(V, H, W, 8) means over each pixel's samples: colour, normal, coverage, depth; 0 for samples that miss."""
    values = np.concatenate(
        [painted_P6, np.ones((len(painted_P6), 1), dtype=np.float32), np.reciprocal(hits.nearness_P)[:, None]], axis=1
    )
    fine = np.zeros((views * (size * supersample) ** 2, values.shape[1]), dtype=np.float32)
    fine[hits.pixel_P] = values
    blocks = fine.reshape(views, size * supersample, size * supersample, -1)
    total = np.zeros((views, size, size, values.shape[1]), dtype=np.float32)
    for row in range(supersample):
        for column in range(supersample):
            total += blocks[:, row::supersample, column::supersample]
    return total / np.float32(supersample**2)


def _views(planes_VHW8: Float32) -> MeshViews:
    alpha = planes_VHW8[..., 6]
    covered = alpha[..., None] > 0
    return MeshViews(
        rgb_VHWC=np.clip(planes_VHW8[..., :3] + (1.0 - alpha[..., None]), 0.0, 1.0),
        alpha_VHW=np.ascontiguousarray(alpha),
        depth_VHW=np.asarray(planes_VHW8[..., 7] / np.maximum(alpha, np.float32(1e-6)), dtype=np.float32),
        normal_VHWC=np.where(covered, unit(planes_VHW8[..., 3:6]), np.float32(0.0)),
    )
