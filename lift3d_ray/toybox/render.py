"""Exact pictures of toys: colour, coverage, depth and normals for a batch of cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, focal_px
from lift3d_ray.mesh.zbuffer import Hits, nearest_faces
from lift3d_ray.toybox.mesh import Float, unit
from lift3d_ray.toybox.shading import albedo, lit
from lift3d_ray.toybox.world import ToyObject

_NEAREST = 0.05
_SAMPLES_A_CHUNK = 1 << 19
_SAME_SURFACE = 0.98


@dataclass(frozen=True)
class Renders:
    """Pictures of V views of a toy.

    Attributes:
        rgb: (V, H, W, 3) float32 sRGB in [0, 1], the toy antialiased over white.
        alpha: (V, H, W) float32 share of each pixel that the toy covers.
        depth: (V, H, W) float32 z-depth of the nearest surface in world units, 0 where alpha is 0.
        normals: (V, H, W, 3) float32 unit shading normals in the world frame, 0 where alpha is 0.
    """

    rgb: Float
    alpha: Float
    depth: Float
    normals: Float


def render(
    obj: ToyObject,
    c2w_V44: Float,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    size: int = 64,
    supersample: int = 2,
    framing: Framing = CANONICAL,
) -> Renders:
    """Renders a toy from a batch of cameras.

    Every pixel is sampled at supersample x supersample points. Depth is the mean (of its inverse)
    over the samples that belong to the nearest surface, which on a plane is exactly the depth at
    the pixel's centre.

    Args:
        obj: the toy.
        c2w_V44: (V, 4, 4) float32 OpenGL camera-to-world matrices.
        fovy_deg: vertical field of view in degrees.
        size: side of the square pictures in pixels.
        supersample: samples a pixel along either axis; 1 turns antialiasing off.
        framing: zoom and shift relative to the canonical camera.

    Raises:
        ValueError: where part of the toy lies behind a camera or very near to it.
    """
    cameras = np.asarray(c2w_V44, np.float32)
    chunk = max(1, _SAMPLES_A_CHUNK // (size * supersample) ** 2)
    done = [
        _render_chunk(obj, cameras[k:k + chunk], fovy_deg, size, supersample, framing)
        for k in range(0, len(cameras), chunk)
    ]
    if len(done) == 1:
        return done[0]
    return Renders(
        rgb=np.concatenate([d.rgb for d in done]),
        alpha=np.concatenate([d.alpha for d in done]),
        depth=np.concatenate([d.depth for d in done]),
        normals=np.concatenate([d.normals for d in done]),
    )


def project_vertices(
    vertices: Float, c2w_V44: Float, *, fovy_deg: float, size: int, framing: Framing
) -> tuple[Float, Float, Float]:
    """Projects vertices into a batch of views.

    Args:
        vertices: (N, 3) float32 world positions.
        c2w_V44: (V, 4, 4) float32 OpenGL camera-to-world matrices.
        fovy_deg: vertical field of view in degrees.
        size: side of the square pictures in pixels.
        framing: zoom and shift relative to the canonical camera.

    Returns:
        columns and rows in pixels and z-depths, each (V, N) float32.
    """
    local = (vertices[None] - c2w_V44[:, None, :3, 3]) @ c2w_V44[:, :3, :3]
    depth = -local[..., 2]
    if float(depth.min()) < _NEAREST:
        raise ValueError("the camera is inside the object or too near to it; move it back")
    focal = focal_px(size, fovy_deg=fovy_deg, framing=framing)
    x = size / 2 * (1 + framing.shift_x) + focal * local[..., 0] / depth
    y = size / 2 * (1 - framing.shift_y) - focal * local[..., 1] / depth
    return x.astype(np.float32), y.astype(np.float32), depth.astype(np.float32)


def _render_chunk(
    obj: ToyObject, cameras: Float, fovy_deg: float, size: int, supersample: int, framing: Framing
) -> Renders:
    fine = size * supersample
    x, y, depth = project_vertices(
        obj.vertices, cameras, fovy_deg=fovy_deg, size=fine, framing=framing
    )
    hits = nearest_faces(x, y, np.reciprocal(depth), obj.faces, fine)
    colour, normals = surface_colours(obj, hits, unit(cameras[:, :3, 3])[hits.pixel_P // (fine * fine)])
    return _resolve(hits, colour, normals, len(cameras), size, supersample)


def surface_colours(obj: ToyObject, hits: Hits, towards_eye: Float) -> tuple[Float, Float]:
    """Lit colours and unit normals, both (P, 3) float32, of points of a toy's surface.

    Args:
        obj: the toy.
        hits: P points of its faces.
        towards_eye: (P, 3) or (3,) float32 unit vectors towards the camera, world frame.
    """
    surface = hits.interpolate(obj.faces, np.concatenate([obj.normals, obj.uv], 1))
    normals = unit(surface[:, :3])
    return lit(obj, albedo(obj, hits.face_P, surface[:, 3:]), normals, towards_eye), normals


def _resolve(
    hits: Hits, colour: Float, normals: Float, views: int, size: int, supersample: int
) -> Renders:
    """Averages samples to pixels."""
    shape, count = (views, size, size), views * size * size
    pixel = hits.pixel_P
    if supersample > 1:
        fine = size * supersample
        column = (pixel % fine) // supersample
        row = pixel // fine
        pixel = (row // supersample) * size + column

    def total(values: Float) -> Float:
        return np.bincount(pixel, values, count).astype(np.float32)

    per_sample = np.float32(1 / supersample**2)
    alpha = np.bincount(pixel, minlength=count).astype(np.float32) * per_sample
    rgb = np.stack([total(colour[:, k]) * per_sample + (1 - alpha) for k in range(3)], 1)
    mean = unit(np.stack([total(normals[:, k]) for k in range(3)], 1))
    nearest = np.zeros(count, np.float32)
    np.maximum.at(nearest, pixel, hits.nearness_P)
    same = (hits.nearness_P >= _SAME_SURFACE * nearest[pixel]).astype(np.float32)
    near, covered = total(same * hits.nearness_P), total(same)
    depth = np.divide(covered, near, out=np.zeros_like(near), where=near > 0)
    return Renders(
        rgb=np.clip(rgb, 0, 1).reshape(*shape, 3),
        alpha=alpha.reshape(shape),
        depth=depth.reshape(shape),
        normals=mean.reshape(*shape, 3),
    )
