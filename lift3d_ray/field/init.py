"""A first guess of the field from one picture: a guessed solid, a guessed cloud, or silhouette and relative depth.

The silhouette's cone inside the unit ball is the *hull*: outside it there is certainly no matter. Inside, the guess is
an inflated silhouette: as deep, at every pixel, as the widest disc of the mask that covers that pixel (its local
thickness: Hildebrand and Ruegsegger 1997), behind a front surface shaped by the relative depth.

Shape suffixes: H W pixels, R grid points along an axis, G cells along an axis, P points. Volumes indexed [x, y, z].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from lift3d_ray.cameras import CANONICAL, DEFAULT_FOVY_DEG, Framing, focal_px, half_width, project
from lift3d_ray.errors import ConfigError, NoSubject
from lift3d_ray.field.cloud import splat, stood_in_photo
from lift3d_ray.types import Bool, CoarseShape, ColoredPoints, Float32, UInt8

RAMP_VOXELS = 3.0
"""The raw density runs from -1 to 1 within so many voxels on either side of the surface."""
THIN_VOXELS = 0.25
"""So far inside the surface lies at least what is solid, also where it is one voxel thin."""

RELIEF = 1.6
"""Depth between the nearest and farthest visible points of a subject, in radii of a disc of its mask's area; on toys
seen from random sides the median is 1.8, and 1.6 gave the best guesses."""

THICKNESS_LEVELS = 16
"""Radii at which the local thickness is measured."""

SHELL_SPACINGS = 3.5
"""Reach of a point of a cloud in units of the points' spacing: random points then leave few gaps."""

DEPTH_PX = 64
"""Side of the pictures in which a cloud's front and back are looked up."""


@dataclass(frozen=True, kw_only=True)
class InitialField:
    """What a field starts from.

    Attributes:
        raw_density_RRR: (R, R, R) float32 in [-1, 1]: signed distance to the guessed surface in units of the ramp,
            positive inside.
        raw_rgb_RRR3: (R, R, R, 3) float32 logits of the colour.
        hull_GGG: (G, G, G) bool cells that may ever hold matter.
    """

    raw_density_RRR: Float32
    raw_rgb_RRR3: Float32
    hull_GGG: Bool


def initial_field(
    alpha_HW: Float32,
    disparity_HW: Float32,
    rgb_HWC: UInt8,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    resolution: int,
    depth_range: tuple[float, float] | None = None,
    depth_trust: float = 1.0,
    thickness: float = 1.15,
    hull_resolution: int = 32,
    hull_margin: float = 0.02,
    fovy_deg: float = DEFAULT_FOVY_DEG,
) -> InitialField:
    """Inflate a silhouette into a solid.

    Args:
        alpha_HW: (S, S) in [0, 1], the subject's mask; matter is assumed where it is above one half.
        disparity_HW: (S, S) relative inverse depth inside the mask, in [0, 1], near = 1.
        rgb_HWC: (S, S, 3) uint8 picture of the subject.
        c2w_44: (4, 4) camera-to-world of that picture.
        framing: its zoom and shift.
        resolution: grid points along an axis.
        depth_range: z-depths of disparity 1 and disparity 0, (near, far); None = ``RELIEF``. The solid is centred on
            the origin's depth afterwards, so only their distance matters much.
        depth_trust: share of the disparity in the front surface, in [0, 1]; the rest is the inflated silhouette's own.
        thickness: depth of the solid in units of its local width, positive. A little more than 1 by default: a
            silhouette is as narrow as the subject's narrower side.
        hull_resolution: cells of the hull along an axis.
        hull_margin: how far outside the mask matter may be, as a share of the picture's side.
        fovy_deg: field of view of the unframed camera, degrees.

    Raises:
        NoSubject: the mask is empty.
        ConfigError: pictures of different sizes, or impossible settings.
    """
    size = alpha_HW.shape[0]
    if alpha_HW.shape != (size, size) or disparity_HW.shape != alpha_HW.shape or rgb_HWC.shape != (size, size, 3):
        raise ConfigError(
            "alpha, disparity and picture must be squares of one size, "
            f"got {alpha_HW.shape}, {disparity_HW.shape} and {rgb_HWC.shape}"
        )
    if thickness <= 0 or resolution < 2 or not 0 <= depth_trust <= 1:
        raise ConfigError(
            "thickness must be positive, resolution at least 2 and depth_trust within 0..1, "
            f"got {thickness}, {resolution} and {depth_trust}"
        )
    mask_HW = _mask(alpha_HW)

    center_depth = _center_depth(c2w_44)
    world_per_px = center_depth / focal_px(size, fovy_deg=fovy_deg, framing=framing)
    half_HW = inflated_half_thickness(mask_HW) * np.float32(world_per_px * thickness)
    front_HW = _front_depth(mask_HW, disparity_HW, half_HW, center_depth, world_per_px, depth_range)
    front_HW = depth_trust * front_HW + (1 - depth_trust) * (center_depth - half_HW)

    grid = _seen_grid(mask_HW, c2w_44, framing, resolution, fovy_deg=fovy_deg)
    front_P, half_P = (picture_HW[grid.row_P, grid.column_P] for picture_HW in (front_HW, half_HW))
    # The rim is thinner than a grid step; left so, it would fall between the grid points.
    reach_P = np.maximum(half_P, 1.0 / (resolution - 1))
    inside_P = grid.allowed_P & (np.abs(grid.depth_P - front_P - half_P) <= reach_P)
    cube = (resolution,) * 3
    return InitialField(
        raw_density_RRR=_ramp(inside_P.reshape(cube)),
        raw_rgb_RRR3=_colors(rgb_HWC, mask_HW)[grid.row_P, grid.column_P].reshape(*cube, 3),
        hull_GGG=silhouette_hull(
            mask_HW, c2w_44, framing, resolution=hull_resolution, margin=hull_margin, fovy_deg=fovy_deg
        ),
    )


def guessed_field(
    guess: CoarseShape | ColoredPoints,
    alpha_HW: Float32,
    rgb_HWC: UInt8,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    resolution: int,
    hull_resolution: int = 32,
) -> InitialField:
    """A guessed solid or cloud, cut by the photo's own silhouette and painted from the photo and the guess's back.

    Where the mask has matter and the guess has not, there is some all the same: thin parts stay.

    Args:
        guess: what lies behind every cell of the picture, or points as they come; those are stood in the photo here.
        alpha_HW: (S, S) in [0, 1], the subject's mask.
        rgb_HWC: (S, S, 3) uint8 picture of the subject.
        c2w_44: (4, 4) camera-to-world of that picture.
        framing: its zoom and shift.
        resolution: grid points along an axis.
        hull_resolution: cells of the hull along an axis.

    Raises:
        NoSubject: the mask is empty.
    """
    mask_HW = _mask(alpha_HW)
    grid = _seen_grid(mask_HW, c2w_44, framing, resolution)
    if isinstance(guess, ColoredPoints):
        filled = _filled_cloud(stood_in_photo(guess, alpha_HW, c2w_44, framing), grid, c2w_44, framing)
    else:
        filled = _carved_solid(guess, grid, c2w_44, framing)
    front_P3 = _colors(rgb_HWC, mask_HW)[grid.row_P, grid.column_P]
    rgb_P3 = front_P3 + filled.way_P[:, None] * (_logits(filled.back_rgb_P3) - front_P3)
    cube = (resolution,) * 3
    return InitialField(
        raw_density_RRR=_ramp(filled.inside_P.reshape(cube)),
        raw_rgb_RRR3=np.asarray(rgb_P3.reshape(*cube, 3), dtype=np.float32),
        hull_GGG=silhouette_hull(mask_HW, c2w_44, framing, resolution=hull_resolution),
    )


@dataclass(frozen=True, kw_only=True)
class _SeenGrid:
    """Grid points as a picture of the subject shows them.

    Attributes:
        mask_HW: (S, S) bool, the subject.
        points_P3: (P, 3) world.
        xy_P2, depth_P: pixel position and z-depth.
        row_P, column_P: the pixel there, or the nearest one.
        allowed_P: (P,) bool points of the unit ball on which the picture shows the subject.
    """

    mask_HW: Bool
    points_P3: Float32
    xy_P2: Float32
    depth_P: Float32
    row_P: NDArray[np.int64]
    column_P: NDArray[np.int64]
    allowed_P: Bool


def _seen_grid(
    mask_HW: Bool, c2w_44: Float32, framing: Framing, resolution: int, *, fovy_deg: float = DEFAULT_FOVY_DEG
) -> _SeenGrid:
    size, points_P3 = len(mask_HW), _grid_points(resolution)
    xy_P2, depth_P = project(points_P3, c2w_44, size, fovy_deg=fovy_deg, framing=framing)
    row_P, column_P, seen_P = _pixels(xy_P2, size)
    return _SeenGrid(
        mask_HW=mask_HW,
        points_P3=points_P3,
        xy_P2=xy_P2,
        depth_P=depth_P,
        row_P=row_P,
        column_P=column_P,
        allowed_P=seen_P & mask_HW[row_P, column_P] & (np.linalg.norm(points_P3, axis=-1) <= 1.0),
    )


@dataclass(frozen=True, kw_only=True)
class _Filled:
    """What a guess says of the grid's points.

    Attributes:
        inside_P: (P,) bool where there is matter.
        way_P: (P,) 0 at the front of it, 1 at its back, smooth in between.
        back_rgb_P3: (P, 3) sRGB in [0, 1] of the guess there, which the back takes.
    """

    inside_P: Bool
    way_P: Float32
    back_rgb_P3: Float32


def _carved_solid(shape: CoarseShape, grid: _SeenGrid, c2w_44: Float32, framing: Framing) -> _Filled:
    """Where a slice is likely; where the mask has matter but no slice is likely, the likeliest one."""
    cells_2P = grid.xy_P2[:, ::-1].T * (len(shape.filled_SSD) / len(grid.mask_HW)) - 0.5
    along_P = (grid.depth_P - _center_depth(c2w_44)) / (shape.depth_reach * half_width(framing))
    slice_P = (along_P + 1) * (shape.filled_SSD.shape[2] / 2) - 0.5
    likely_P = ndimage.map_coordinates(shape.filled_SSD, [*cells_2P, slice_P], order=1, mode="nearest")
    likeliest_P = ndimage.map_coordinates(shape.filled_SSD.max(axis=2), cells_2P, order=1, mode="nearest")
    back_P3 = np.stack(
        [ndimage.map_coordinates(shape.back_rgb_SSC[..., k], cells_2P, order=1, mode="nearest") for k in range(3)], 1
    )
    return _Filled(
        inside_P=grid.allowed_P & (np.abs(along_P) < 1) & (likely_P >= _filled_from(likeliest_P)),
        way_P=_share_of_the_way(shape.filled_SSD, cells_2P, slice_P),
        back_rgb_P3=back_P3,
    )


def _filled_cloud(stood: ColoredPoints, grid: _SeenGrid, c2w_44: Float32, framing: Framing) -> _Filled:
    """What lies near the points is a closed shell, what it encloses is filled, and its thickness is taken off again.

    Where the mask has matter but no point, a sheet as thick as the shell stands at the depth of the nearest points in
    the picture.
    """
    size, resolution = len(grid.mask_HW), round(len(grid.points_P3) ** (1 / 3))
    away_P, nearest_P = cKDTree(stood.xyz_N3).query(grid.points_P3)
    shell = max(SHELL_SPACINGS * _spacing(stood.xyz_N3), 2.5 / (resolution - 1))
    solid_P = _filled_shell((away_P < shell).reshape((resolution,) * 3), shell * (resolution - 1) / 2).ravel()
    solid_P |= away_P < shell / 2
    # Discs as wide as the shell leave no gap through which the front map would show the back.
    front_HW, back_HW = (_everywhere(stood, c2w_44, framing, size, shell, farthest=far) for far in (False, True))
    front_P, back_P = (picture_HW[grid.row_P, grid.column_P] for picture_HW in (front_HW, back_HW))
    inside_P = grid.allowed_P & solid_P
    bare_HW = grid.mask_HW.copy()
    bare_HW[grid.row_P[inside_P], grid.column_P[inside_P]] = False
    bare_HW = ndimage.binary_opening(bare_HW, iterations=max(1, size // resolution))
    sheet_P = np.abs(grid.depth_P - (front_P + back_P) / 2) <= shell
    way_P = np.clip((grid.depth_P - front_P) / np.maximum(back_P - front_P, shell), 0, 1)
    return _Filled(
        inside_P=inside_P | (grid.allowed_P & bare_HW[grid.row_P, grid.column_P] & sheet_P),
        way_P=way_P * way_P * (3 - 2 * way_P),
        back_rgb_P3=stood.rgb_N3[nearest_P],
    )


def _spacing(xyz_N3: Float32) -> float:
    """Median distance of a point to its nearest neighbour."""
    return float(np.median(cKDTree(xyz_N3).query(xyz_N3, k=2)[0][:, 1]))


def _filled_shell(shell_RRR: Bool, thickness_voxels: float) -> Bool:
    """What a shell around a surface encloses, without the half of its own thickness that lies outside.

    Enclosed is what the shell bounds in all six directions along the axes: a gap in the shell then costs the lines
    through it and not the whole inside.
    """
    filled = np.ones_like(shell_RRR)
    for axis in range(3):
        filled &= np.logical_or.accumulate(shell_RRR, axis=axis)
        filled &= np.flip(np.logical_or.accumulate(np.flip(shell_RRR, axis), axis=axis), axis)
    closed = ndimage.binary_closing(filled, iterations=1) | filled
    return np.asarray(ndimage.distance_transform_edt(closed) > thickness_voxels, dtype=np.bool_)


def _everywhere(
    points: ColoredPoints, c2w_44: Float32, framing: Framing, size: int, radius: float, *, farthest: bool
) -> Float32:
    """(S, S) z-depth of the nearest or farthest point of every pixel, of the nearest pixel that has one."""
    small = min(size, DEPTH_PX)
    depth_HW = splat(points, c2w_44, size=small, framing=framing, radius=radius, farthest=farthest).depth_HW
    rows, columns = ndimage.distance_transform_edt(depth_HW == 0, return_distances=False, return_indices=True)
    cells = np.arange(size) * small // size
    return np.asarray(depth_HW[rows, columns][np.ix_(cells, cells)], dtype=np.float32)


def _mask(alpha_HW: Float32) -> Bool:
    """Where the subject is.

    Raises:
        NoSubject: nowhere.
    """
    mask_HW = np.asarray(alpha_HW > 0.5)
    if not mask_HW.any():
        raise NoSubject("the subject's mask is empty: no pixel has an alpha above 0.5")
    return mask_HW


def _filled_from(likeliest: NDArray[np.floating]) -> NDArray[np.floating]:
    """The probability from which a ray's slices count as filled, given its largest: some slice always does."""
    return np.asarray(np.minimum(0.5, 0.8 * likeliest))


def _share_of_the_way(filled_SSD: Float32, cells_2P: NDArray[np.floating], slice_P: NDArray[np.floating]) -> Float32:
    """(P,) 0 at the front of what is filled along a point's ray, 1 at its back, smooth in between."""
    solid = filled_SSD >= _filled_from(filled_SSD.max(axis=2, keepdims=True))
    first = solid.argmax(axis=2).astype(np.float32)
    last = (solid.shape[2] - 1 - solid[..., ::-1].argmax(axis=2)).astype(np.float32)
    first_P, last_P = (ndimage.map_coordinates(edge, cells_2P, order=0, mode="nearest") for edge in (first, last))
    way = np.clip((slice_P - first_P) / np.maximum(last_P - first_P, 1.0), 0, 1)
    return np.asarray(way * way * (3 - 2 * way), dtype=np.float32)


def _center_depth(c2w_44: Float32) -> float:
    """Z-depth of the world's origin."""
    return float(c2w_44[:3, 3] @ c2w_44[:3, 2])


def silhouette_hull(
    mask_HW: Bool,
    c2w_44: Float32,
    framing: Framing = CANONICAL,
    *,
    resolution: int,
    margin: float = 0.02,
    fovy_deg: float = DEFAULT_FOVY_DEG,
) -> Bool:
    """Cells of the unit ball that a silhouette allows to hold matter.

    Conservative: a cell is kept if any part of it may project into the mask grown by the margin.

    Args:
        mask_HW: (S, S) the subject's mask.
        c2w_44: (4, 4) camera-to-world.
        framing: zoom and shift of the picture.
        resolution: cells along an axis.
        margin: how far outside the mask matter may be, as a share of the picture's side.
        fovy_deg: field of view of the unframed camera, degrees.

    Returns:
        (G, G, G) bool, indexed [x, y, z].
    """
    size = mask_HW.shape[0]
    half_diagonal = np.sqrt(3.0) / resolution
    axis = (np.arange(resolution, dtype=np.float32) + 0.5) * (2.0 / resolution) - 1.0
    centers_P3 = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    xy_P2, depth_P = project(centers_P3, c2w_44, size, fovy_deg=fovy_deg, framing=framing)
    # Distance to the mask, on a canvas wide enough that points outside the picture have one too.
    canvas_HW = np.pad(mask_HW, size)
    far_HW = ndimage.distance_transform_edt(~canvas_HW)
    row_P, column_P, on_canvas_P = _pixels(xy_P2 + size, 3 * size)
    nearest = np.maximum(depth_P - half_diagonal, 1e-3)
    reach_P = margin * size + half_diagonal * focal_px(size, fovy_deg=fovy_deg, framing=framing) / nearest + 1.0
    kept_P = on_canvas_P & (depth_P > 0) & (far_HW[row_P, column_P] <= reach_P)
    kept_P &= np.linalg.norm(centers_P3, axis=-1) <= 1.0 + half_diagonal
    return np.asarray(kept_P.reshape((resolution,) * 3), dtype=np.bool_)


def inflated_half_thickness(mask_HW: Bool) -> Float32:
    """Half the depth of an inflated silhouette, in pixels; 0 outside.

    With d the distance to the rim and m the radius of the largest disc inside the mask that covers the pixel,
    ``h = sqrt(d (2 m - d))``: a disc becomes a sphere, a bar a cylinder.

    Args:
        mask_HW: (H, W) bool.
    """
    rim_HW = ndimage.distance_transform_edt(np.pad(mask_HW, 1))[1:-1, 1:-1]
    widest = float(rim_HW.max(initial=0.0))
    local_HW = rim_HW.copy()
    for radius in np.linspace(0.0, widest, THICKNESS_LEVELS + 1)[1:]:
        covered_HW = ndimage.distance_transform_edt(rim_HW < radius * (1 - 1e-6)) < radius
        local_HW = np.where(covered_HW & mask_HW, np.maximum(local_HW, radius), local_HW)
    local_HW = np.maximum(_smoothed_inside(local_HW, mask_HW, sigma=max(1.0, 0.25 * widest)), rim_HW)
    return np.asarray(np.sqrt(rim_HW * (2.0 * local_HW - rim_HW)), dtype=np.float32)


def _front_depth(
    mask_HW: Bool,
    disparity_HW: Float32,
    half_HW: Float32,
    center_depth: float,
    world_per_px: float,
    depth_range: tuple[float, float] | None,
) -> Float32:
    """Z-depth of the front surface, shifted so that the solid's middle lies at the origin's depth."""
    if depth_range is None:
        relief = RELIEF * float(np.sqrt(mask_HW.sum() / np.pi)) * world_per_px
        depth_range = (center_depth - 0.5 * relief, center_depth + 0.5 * relief)
    near, far = depth_range
    if not 0 < near < far:
        raise ConfigError(f"depth_range must be 0 < near < far, got {depth_range}")
    smooth_HW = _smoothed_inside(disparity_HW, mask_HW, sigma=max(1.0, 0.01 * len(mask_HW)))
    front_HW = 1.0 / (1.0 / far + np.clip(smooth_HW, 0.0, 1.0) * (1.0 / near - 1.0 / far))
    middle = float(np.average(front_HW[mask_HW] + half_HW[mask_HW], weights=half_HW[mask_HW]))
    return (front_HW + (center_depth - middle)).astype(np.float32)


def _smoothed_inside(values_HW: NDArray[np.floating], mask_HW: Bool, *, sigma: float) -> NDArray[np.float64]:
    """Gaussian blur that ignores everything outside the mask (normalised convolution)."""
    weight_HW = ndimage.gaussian_filter(mask_HW.astype(np.float64), sigma)
    blurred_HW = ndimage.gaussian_filter(np.where(mask_HW, values_HW, 0.0).astype(np.float64), sigma)
    return np.where(mask_HW, blurred_HW / np.maximum(weight_HW, 1e-12), 0.0)


def _grid_points(resolution: int) -> Float32:
    axis = np.linspace(-1.0, 1.0, resolution, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def _pixels(xy_P2: Float32, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Bool]:
    """Row and column of the pixel under each position, clamped into the picture, and whether it needed no clamp."""
    column_P, row_P = np.floor(xy_P2).astype(np.int64).T
    within_P = (column_P >= 0) & (column_P < size) & (row_P >= 0) & (row_P < size)
    return np.clip(row_P, 0, size - 1), np.clip(column_P, 0, size - 1), within_P


def _ramp(inside_RRR: Bool) -> Float32:
    """Signed distance in units of the ramp, clipped to [-1, 1] and rid of voxel stairs."""
    if not inside_RRR.any():
        return np.full(inside_RRR.shape, -1.0, dtype=np.float32)
    outward = ndimage.distance_transform_edt(~inside_RRR)
    inward = ndimage.distance_transform_edt(inside_RRR)
    # Each transform counts from the neighbouring grid point; the surface lies half way between the two.
    distance = inward - outward + np.where(inside_RRR, -0.5, 0.5)
    smooth = ndimage.gaussian_filter(np.clip(distance / RAMP_VOXELS, -1, 1), 0.7)
    # The smoothing alone would swallow sticks one grid point wide.
    return np.asarray(np.where(inside_RRR, np.maximum(smooth, THIN_VOXELS / RAMP_VOXELS), smooth), dtype=np.float32)


def _colors(rgb_HWC: UInt8, mask_HW: Bool) -> Float32:
    """Logits of the picture's colours; everything near or beyond the rim takes the nearest colour well inside."""
    core_HW = ndimage.binary_erosion(mask_HW, iterations=max(1, len(mask_HW) // 100))
    core_HW = core_HW if core_HW.any() else mask_HW
    rows, columns = ndimage.distance_transform_edt(~core_HW, return_distances=False, return_indices=True)
    return _logits(rgb_HWC[rows, columns].astype(np.float32) / 255.0)


def _logits(rgb: NDArray[np.floating]) -> Float32:
    """Raw colours of sRGB in [0, 1], short of the ends, where they would be infinite."""
    bounded = np.clip(rgb, 0.02, 0.98)
    return np.asarray(np.log(bounded / (1.0 - bounded)), dtype=np.float32)
