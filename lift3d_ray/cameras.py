"""The one home of frames, angles and cameras.

World: right-handed, +Y up (glTF's), the subject inside the unit ball at the origin, its front towards +Z.
Camera: OpenGL, looks down its own -Z, +X right, +Y up. ``c2w`` maps camera to world.
Azimuth 0, elevation 0 puts the camera on +Z with an identity rotation; azimuth grows towards +X.
Pixels: square, centres at +0.5, row 0 at the top. Depth: distance along the viewing axis (z-depth), positive.

Shape suffixes: V views, H W pixels, 4 homogeneous rows and columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lift3d_ray.errors import ConfigError

DEFAULT_FOVY_DEG = 40.0
"""Vertical field of view of every canonical camera, degrees."""

DEFAULT_RADIUS = 3.2
"""Distance of every canonical camera from the origin; the unit ball then fills 90 % of the picture."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a square picture is framed relative to the canonical camera of the same pose.

    A crop of a picture is the same pinhole camera with a longer focal length and a moved principal point, so one scale
    and one shift describe it exactly.

    Attributes:
        focal_scale: focal length in units of the canonical one; > 1 is zoomed in.
        shift_x: where the world origin lands, right of the picture's centre, in half picture widths.
        shift_y: the same upwards.
    """

    focal_scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal_scale) and self.focal_scale > 0):
            raise ConfigError(f"focal_scale must be a positive number, got {self.focal_scale}")


CANONICAL = Framing()


def orbit_position(azimuth_deg: ArrayLike, elevation_deg: ArrayLike, radius: ArrayLike) -> NDArray[np.float32]:
    """Camera centres on an orbit.

    Args:
        azimuth_deg: degrees, any broadcastable shape (V,).
        elevation_deg: degrees above the horizon, (V,).
        radius: distance from the origin, world units, (V,).

    Returns:
        (V, 3) float32 world positions.
    """
    azimuth, elevation, distance = np.broadcast_arrays(
        np.deg2rad(np.atleast_1d(np.asarray(azimuth_deg, dtype=np.float64))),
        np.deg2rad(np.atleast_1d(np.asarray(elevation_deg, dtype=np.float64))),
        np.atleast_1d(np.asarray(radius, dtype=np.float64)),
    )
    direction = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=-1
    )
    return np.asarray(direction * distance[..., None], dtype=np.float32)


def orbit_c2w(
    azimuth_deg: ArrayLike, elevation_deg: ArrayLike, radius: ArrayLike = DEFAULT_RADIUS
) -> NDArray[np.float32]:
    """Cameras on an orbit, looking at the origin, their up towards +Y.

    Args:
        azimuth_deg: degrees, 0 = on +Z, growing towards +X, (V,).
        elevation_deg: degrees above the horizon, within [-90, 90], (V,).
        radius: distance from the origin, world units, (V,).

    Returns:
        (V, 4, 4) float32 camera-to-world matrices.
    """
    azimuth, elevation, distance = np.broadcast_arrays(
        np.deg2rad(np.atleast_1d(np.asarray(azimuth_deg, dtype=np.float64))),
        np.deg2rad(np.atleast_1d(np.asarray(elevation_deg, dtype=np.float64))),
        np.atleast_1d(np.asarray(radius, dtype=np.float64)),
    )
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation)
    zero = np.zeros_like(sin_a)
    # Closed form instead of look-at: defined straight above and below too.
    right = np.stack([cos_a, zero, -sin_a], axis=-1)
    up = np.stack([-sin_a * sin_e, cos_e, -cos_a * sin_e], axis=-1)
    back = np.stack([sin_a * cos_e, sin_e, cos_a * cos_e], axis=-1)
    c2w = np.zeros((*azimuth.shape, 4, 4))
    c2w[..., :3, 0], c2w[..., :3, 1], c2w[..., :3, 2] = right, up, back
    c2w[..., :3, 3] = back * distance[..., None]
    c2w[..., 3, 3] = 1.0
    return c2w.astype(np.float32)


def focal_px(size: int, *, fovy_deg: float = DEFAULT_FOVY_DEG, framing: Framing = CANONICAL) -> float:
    """Focal length in pixels of a square picture of ``size`` pixels."""
    return 0.5 * size / math.tan(math.radians(fovy_deg) / 2) * framing.focal_scale


def half_width(framing: Framing) -> float:
    """Half the width of what a picture shows at the origin's depth, world units."""
    return DEFAULT_RADIUS / focal_px(2, framing=framing)


def pixel_rays(
    c2w_V44: NDArray[np.float32],
    size: int,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    framing: Framing = CANONICAL,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rays through every pixel centre.

    The directions have length 1 *along the viewing axis*, not Euclidean length 1: a ray parameter t is then the
    z-depth itself, and depth needs no cosine correction.

    Args:
        c2w_V44: (V, 4, 4) camera-to-world.
        size: picture side in pixels.
        fovy_deg: field of view of the unframed camera, degrees.
        framing: zoom and shift of the picture.

    Returns:
        origins (V, H, W, 3) and directions (V, H, W, 3), float32, world frame.
    """
    focal = focal_px(size, fovy_deg=fovy_deg, framing=framing)
    pixel = np.arange(size, dtype=np.float32) + 0.5
    x = (pixel - size / 2 * (1 + framing.shift_x)) / focal
    y = (size / 2 * (1 - framing.shift_y) - pixel) / focal
    grid_x, grid_y = np.meshgrid(x, y)
    camera = np.stack([grid_x, grid_y, -np.ones_like(grid_x)], axis=-1).astype(np.float32)
    directions = np.einsum("vij,hwj->vhwi", c2w_V44[:, :3, :3], camera).astype(np.float32)
    origins = np.broadcast_to(c2w_V44[:, None, None, :3, 3], directions.shape)
    return np.ascontiguousarray(origins, dtype=np.float32), directions


def project(
    points_N3: NDArray[np.float32],
    c2w_44: NDArray[np.float32],
    size: int,
    *,
    fovy_deg: float = DEFAULT_FOVY_DEG,
    framing: Framing = CANONICAL,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Project world points into one picture.

    Args:
        points_N3: (N, 3) world positions.
        c2w_44: (4, 4) camera-to-world.
        size: picture side in pixels.
        fovy_deg: field of view of the unframed camera, degrees.
        framing: zoom and shift of the picture.

    Returns:
        xy (N, 2) float32 in pixels (x right, y down), and z-depth (N,) float32, positive in front of the camera.
    """
    local = (points_N3 - c2w_44[:3, 3]) @ c2w_44[:3, :3]
    depth = -local[:, 2]
    focal = focal_px(size, fovy_deg=fovy_deg, framing=framing)
    safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    x = size / 2 * (1 + framing.shift_x) + focal * local[:, 0] / safe
    y = size / 2 * (1 - framing.shift_y) - focal * local[:, 1] / safe
    return np.stack([x, y], axis=-1).astype(np.float32), depth.astype(np.float32)


def wrap_deg(angle: ArrayLike) -> NDArray[np.float64]:
    """Angles folded into [-180, 180)."""
    return (np.asarray(angle, dtype=np.float64) + 180.0) % 360.0 - 180.0
