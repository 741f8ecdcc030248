"""The surface of a density grid: marching cubes, without cavities.

Marching cubes: Lorensen and Cline 1987, in the topologically consistent form of Lewiner et al. 2003 (scikit-image).
Smoothing: Taubin, "A signal processing approach to fair surface design", 1995.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array

from lift3d_ray.errors import ConfigError, OptimizationFailed
from lift3d_ray.mesh.geometry import Int32, compact, edge_matrix, face_volumes, pieces_of
from lift3d_ray.types import Float32

TAUBIN_SHRINK = 0.5
TAUBIN_INFLATE = -0.53
TIE_BREAK = 1e-3


def extract_mesh(
    density_XYZ: Float32,
    level: float,
    *,
    extent: float = 1.0,
    smooth_iterations: int = 0,
) -> tuple[Float32, Int32]:
    """The closed surface at which a density crosses a level, all its pieces, their cavities filled.

    Values are clamped to one level's height around the level first: a fitted density leaps from nothing to hundreds
    within a cell, and how high it leaps says nothing about where the surface lies. Where the solid touches the side of
    the grid, it is capped at most half a cell outside.

    Args:
        density_XYZ: (R, R, R) float32 values; ``density[ix, iy, iz]`` lies at world x, y, z, the first sample of each
            axis at -extent and the last at +extent. Larger is more solid.
        level: the value taken for the surface.
        extent: half side of the cube, world units.
        smooth_iterations: passes of Taubin smoothing, which irons out the grid's steps and keeps the volume.

    Returns:
        vertices (N, 3) float32 in world units and faces (F, 3) int32, watertight, wound outwards.

    Raises:
        ConfigError: an argument makes no sense.
        OptimizationFailed: the grid is not finite, or nothing in it reaches the level.
    """
    _check_arguments(density_XYZ, level, extent, smooth_iterations)
    if not np.isfinite(density_XYZ).all():
        raise OptimizationFailed(
            "the density grid holds values that are not finite: the field diverged; use another seed"
        )
    if not (density_XYZ > level).any():
        raise OptimizationFailed(
            f"nothing in the density grid is above the level {level:g} (its maximum is {density_XYZ.max():g}): "
            "the field came out empty; use another seed, a longer recipe or a lower level"
        )
    vertices, faces = _march(density_XYZ, level, extent)
    vertices, faces = _fill_cavities(vertices, faces)
    if smooth_iterations:
        vertices = taubin_smooth(vertices, faces, iterations=smooth_iterations)
    return vertices, faces


def taubin_smooth(vertices_N3: Float32, faces_F3: Int32, *, iterations: int) -> Float32:
    """(N, 3) float32 vertices after passes that shrink, then inflate: noise goes, volume stays (Taubin 1995)."""
    mean_of_neighbours = _neighbour_mean(faces_F3, len(vertices_N3))
    moved = vertices_N3.astype(np.float64)
    for _ in range(iterations):
        for factor in (TAUBIN_SHRINK, TAUBIN_INFLATE):
            moved = moved + factor * (mean_of_neighbours @ moved - moved)
    return moved.astype(np.float32)


def _check_arguments(density_XYZ: Float32, level: float, extent: float, smooth_iterations: int) -> None:
    if density_XYZ.ndim != 3 or len(set(density_XYZ.shape)) != 1 or density_XYZ.shape[0] < 2:
        raise ConfigError(
            f"the density grid must be a cube of at least 2 samples a side, got shape {density_XYZ.shape}"
        )
    if not math.isfinite(level):
        raise ConfigError(f"level must be a finite number, got {level}")
    if not (math.isfinite(extent) and extent > 0):
        raise ConfigError(f"extent must be a positive number of world units, got {extent}")
    if smooth_iterations < 0:
        raise ConfigError(f"smooth_iterations must be 0 or more, got {smooth_iterations}")


def _march(density_XYZ: Float32, level: float, extent: float) -> tuple[Float32, Int32]:
    from skimage.measure import marching_cubes

    above = density_XYZ.astype(np.float64) - level
    height = min(abs(level) if level else math.inf, float(above.max()))
    # Where clamped values tie, marching cubes decides ambiguous cells one way from one side and the other way from the
    # other; a trace of the unclamped value keeps them apart.
    clamped = np.clip(above / height, -1, 1) + TIE_BREAK * above / (height + np.abs(above))
    padded = np.pad(clamped, 1, constant_values=-1)
    # A sample exactly on the level would give faces without area, which cannot be dropped without opening the surface.
    padded[padded == 0] = 1e-6
    cell = 2 * extent / (density_XYZ.shape[0] - 1)
    vertices, faces, _, _ = marching_cubes(padded, 0.0, spacing=(cell, cell, cell), gradient_direction="ascent")
    vertices = vertices - (extent + cell)
    return vertices.astype(np.float32), faces.astype(np.int32)


def _fill_cavities(vertices_N3: Float32, faces_F3: Int32) -> tuple[Float32, Int32]:
    """Cavities are pieces wound inwards, of negative volume: nobody outside can see them."""
    piece_F = pieces_of(faces_F3, len(vertices_N3))
    volume_P = np.bincount(piece_F, face_volumes(vertices_N3, faces_F3))
    return compact(vertices_N3, faces_F3[(volume_P > 0)[piece_F]])


def _neighbour_mean(faces_F3: Int32, count: int) -> csr_matrix:
    directed = edge_matrix(faces_F3, count)
    either = (directed + directed.T) > 0
    degree: NDArray[np.float64] = np.asarray(either.sum(axis=1), dtype=np.float64).reshape(-1)
    return (diags_array(1.0 / np.maximum(degree, 1.0)) @ either).tocsr()
