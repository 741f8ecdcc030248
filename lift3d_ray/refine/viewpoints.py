"""Where refinement looks from: the photo's own camera first, then cameras spread all round.

Shape suffixes: V views, S picture side.
"""

from __future__ import annotations

import numpy as np

from lift3d_ray.cameras import Framing, orbit_c2w, wrap_deg
from lift3d_ray.errors import ConfigError
from lift3d_ray.field.disparity import disparity_picture
from lift3d_ray.mesh.rasterize import MeshViews, rasterize
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.types import Float32, Mesh

_GOLDEN = 0.618034


def viewpoints_around(photo: Viewpoint, count: int, elevation_deg: tuple[float, float]) -> tuple[Viewpoint, ...]:
    """The photo's viewpoint, and ``count`` more at even azimuths and well-spread elevations.

    Args:
        photo: the photo's camera.
        count: of the others.
        elevation_deg: range of their elevations.

    Raises:
        ConfigError: fewer than one.
    """
    if count < 1:
        raise ConfigError(f"refinement needs 1 or more novel viewpoints, got {count}")
    turn = np.arange(count)
    low, high = elevation_deg
    azimuth, elevation = wrap_deg((turn + 0.5) * 360 / count), low + (high - low) * (turn * _GOLDEN % 1)
    cameras = orbit_c2w(azimuth, elevation)
    others = (
        Viewpoint(azimuth_deg=float(a), elevation_deg=float(e), c2w_44=camera)
        for a, e, camera in zip(azimuth, elevation, cameras, strict=True)
    )
    return (photo, *others)


def mesh_views(mesh: Mesh, viewpoints: tuple[Viewpoint, ...], size: int, *, supersample: int = 1) -> list[MeshViews]:
    """One picture of the mesh from each viewpoint; with one sample a pixel, depth at a rim is never a blend."""
    return [rasterize(mesh, v.c2w_44[None], size=size, framing=v.framing, supersample=supersample) for v in viewpoints]


def surface_depth(view: MeshViews) -> Float32:
    """(S, S) z-depth of one view's nearest surface, infinite where there is none."""
    return np.where(view.alpha_VHW[0] > 0, view.depth_VHW[0], np.float32(np.inf))


def disparity_pictures(views: list[MeshViews]) -> Float32:
    """(V, 1, S, S) float32 inverse depth, spread over [1/255, 1] within each view and 0 outside, near = 1."""
    return np.stack([disparity_picture(v.depth_VHW[0], v.alpha_VHW[0] > 0.5)[None] for v in views])


def photo_viewpoint(c2w_44: Float32, elevation_deg: float, framing: Framing) -> Viewpoint:
    """The photo's own viewpoint: azimuth 0."""
    return Viewpoint(azimuth_deg=0.0, elevation_deg=elevation_deg, c2w_44=c2w_44, framing=framing)
