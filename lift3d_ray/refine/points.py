"""The coarse result as a textured point cloud (Make-It-3D, section 3.3).

What the photo sees takes the photo's own pixels; what it does not see takes the coarse colours. Points are the pixels
of depth pictures, the photo's first, lifted into space. All widths follow resolution and scene size.

Shape suffixes: N points, S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from lift3d_ray.cameras import DEFAULT_RADIUS, focal_px, pixel_rays
from lift3d_ray.errors import OptimizationFailed
from lift3d_ray.mesh.photo_view import DEFAULT_PAINT, clean_rim, sample
from lift3d_ray.mesh.rasterize import MeshViews
from lift3d_ray.refine.occlusion import Viewpoint, depth_at, depth_tolerance, point_depth
from lift3d_ray.refine.viewpoints import mesh_views
from lift3d_ray.types import Bool, Float32, Int64, Mesh, Subject

CANONICAL_RIM = 0.008
"""Width of the photo's rim where no point is lifted, as a share of the picture's side: its depth and colour are least
sure there, and the other views see those places face on."""


GRAZING_COSINE = 0.35
"""Surfaces more grazing to the photo than this keep the other views' points as well."""


@dataclass(frozen=True, kw_only=True)
class TexturedPoints:
    """Surface points in the world frame; those that take the photo's colours come first.

    Attributes:
        xyz_N3: (N, 3) float32.
        rgb_N3: (N, 3) float32 sRGB in [0, 1].
        normals_N3: (N, 3) float32 unit vectors.
        canonical_N: (N,) bool, the photo sees it and gives its colour.
    """

    xyz_N3: Float32
    rgb_N3: Float32
    normals_N3: Float32
    canonical_N: Bool


def textured_points(mesh: Mesh, subject: Subject, viewpoints: tuple[Viewpoint, ...], *, size: int) -> TexturedPoints:
    """Points of a mesh, coloured by the photo where it sees them and by the mesh elsewhere.

    Args:
        mesh: the coarse result.
        subject: the photo's cut-out.
        viewpoints: the photo's first, then those that look at what it does not see.
        size: side of the depth pictures; a pixel becomes a point.

    Raises:
        OptimizationFailed: no viewpoint sees anything.
    """
    photo, others = viewpoints[0], viewpoints[1:]
    first, *rest = mesh_views(mesh, viewpoints, size)
    seen = _lifted(first, photo, size, _photo_mask(first, subject, size))
    seen_px, seen_depth = photo.project(seen.xyz_N3, size)
    side = subject.alpha_HW.shape[0]
    rgb = sample(clean_rim(subject, DEFAULT_PAINT.rim), photo.project(seen.xyz_N3, side)[0])
    covered, extent = point_depth(seen_px, seen_depth, size), scene_extent(mesh)
    hidden = [_lifted(view, at, size, view.alpha_VHW[0] > 0) for view, at in zip(rest, others, strict=True)]
    novel = _thinned(
        [points.chosen(~_photographed(points, covered, photo, extent)) for points in hidden],
        DEFAULT_RADIUS / focal_px(size),
    )
    if len(seen.xyz_N3) + len(novel.xyz_N3) == 0:
        raise OptimizationFailed("no viewpoint sees the mesh: nothing is left to refine; turn the refinement off")
    return TexturedPoints(
        xyz_N3=np.concatenate([seen.xyz_N3, novel.xyz_N3]),
        rgb_N3=np.concatenate([rgb, novel.rgb_N3]),
        normals_N3=np.concatenate([seen.normals_N3, novel.normals_N3]),
        canonical_N=np.arange(len(seen.xyz_N3) + len(novel.xyz_N3)) < len(seen.xyz_N3),
    )


def scene_extent(mesh: Mesh) -> float:
    """Diagonal of the mesh's box, world units."""
    return float(np.linalg.norm(np.ptp(mesh.vertices_N3, axis=0)))


def eroded(mask_HW: Bool, share: float) -> Bool:
    """A mask drawn in by a share of the picture's side, at least one pixel; parts too thin for it are left whole."""
    pixels = max(1, round(share * mask_HW.shape[0]))
    core = binary_erosion(mask_HW, iterations=pixels)
    return np.asarray(core | (mask_HW & ~binary_dilation(core, iterations=2 * pixels)))


@dataclass(frozen=True, kw_only=True)
class _Lifted:
    """Pixels in space: positions, colours of the mesh and normals, (N, 3) each."""

    xyz_N3: Float32
    rgb_N3: Float32
    normals_N3: Float32

    def chosen(self, rows: Bool | Int64) -> _Lifted:
        return _Lifted(xyz_N3=self.xyz_N3[rows], rgb_N3=self.rgb_N3[rows], normals_N3=self.normals_N3[rows])


def _lifted(view: MeshViews, viewpoint: Viewpoint, size: int, mask_SS: Bool) -> _Lifted:
    """The pixels of a mask, unprojected by their depth."""
    origins, directions = pixel_rays(viewpoint.c2w_44[None], size, framing=viewpoint.framing)
    depth = view.depth_VHW[0][mask_SS]
    return _Lifted(
        xyz_N3=np.asarray(origins[0][mask_SS] + directions[0][mask_SS] * depth[:, None], dtype=np.float32),
        rgb_N3=view.rgb_VHWC[0][mask_SS],
        normals_N3=view.normal_VHWC[0][mask_SS],
    )


def _photo_mask(view: MeshViews, subject: Subject, size: int) -> Bool:
    """(S, S) pixels that both the mesh and the cut-out cover, without the rim."""
    side = subject.alpha_HW.shape[0]
    place = ((np.arange(size) + 0.5) * side / size).astype(np.float32)
    xy: NDArray[np.float32] = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
    alpha = sample(subject.alpha_HW[..., None], xy).reshape(size, size)
    return eroded(np.asarray((view.alpha_VHW[0] > 0) & (alpha > 0.5)), CANONICAL_RIM)


def _photographed(points: _Lifted, covered_SS: Float32, photo: Viewpoint, extent: float) -> Bool:
    """(N,) bool which points lie on the surface that the photo's points cover already."""
    size = covered_SS.shape[0]
    xy_px, depth = photo.project(points.xyz_N3, size)
    facing = photo.facing(points.xyz_N3, points.normals_N3)
    behind = depth - depth_at(covered_SS, xy_px)
    # Points turned away are the backs of thin parts, however near; where the photo looks along the surface its points
    # stand far apart.
    near = behind <= depth_tolerance(photo, size, depth, facing, extent)
    return np.asarray(near & (facing > GRAZING_COSINE))


def _thinned(parts: list[_Lifted], spacing: float) -> _Lifted:
    """The points of several views, one in each cell of a grid of this spacing, those of earlier views preferred."""
    xyz = np.concatenate([part.xyz_N3 for part in parts])
    cells = np.floor(xyz / spacing).astype(np.int64)
    # Opposite faces of a thin sheet share a cell: the side that the normal points to keeps them apart.
    normals = np.concatenate([part.normals_N3 for part in parts])
    sides = (normals > 0).astype(np.int64) @ np.array([1, 2, 4])
    _, first = np.unique(np.concatenate([cells, sides[:, None]], axis=1), axis=0, return_index=True)
    kept = np.sort(first)
    return _Lifted(
        xyz_N3=xyz[kept], rgb_N3=np.concatenate([part.rgb_N3 for part in parts])[kept], normals_N3=normals[kept]
    )
