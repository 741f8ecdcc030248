"""Which parts of the cube may hold matter, so that empty space is never evaluated.

Shape suffixes: G cells along an axis, R grid points of a field along an axis, N points. Indexed [x, y, z].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.field.rays import Box
from lift3d_ray.field.voxels import VoxelField


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """A grid of cells over [-1, 1]^3: which may hold matter, and how dense they are at least.

    Attributes:
        cells_GGG: (G, G, G) bool, indexed [x, y, z]; cell i spans [-1 + 2 i / G, -1 + 2 (i + 1) / G).
        sigma_floor_GGG: (G, G, G) density that no point of the cell falls below, per world unit: a ray that has
            crossed enough of it can stop. None = nothing is known, no ray stops early.
    """

    cells_GGG: Tensor
    sigma_floor_GGG: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.cells_GGG.shape)
        if self.cells_GGG.dtype != torch.bool or len(shape) != 3 or len(set(shape)) != 1:
            raise ConfigError(f"an occupancy grid is a bool cube, got {self.cells_GGG.dtype} of shape {shape}")
        if self.sigma_floor_GGG is not None and self.sigma_floor_GGG.shape != self.cells_GGG.shape:
            raise ConfigError(f"the density floor must be of shape {shape}, got {tuple(self.sigma_floor_GGG.shape)}")

    @classmethod
    def full(cls, resolution: int = 1, *, device: torch.device | str = "cpu") -> Occupancy:
        """Every cell occupied."""
        return cls(cells_GGG=torch.ones((resolution,) * 3, dtype=torch.bool, device=device))

    @classmethod
    def from_numpy(cls, cells_GGG: NDArray[np.bool_], *, device: torch.device | str = "cpu") -> Occupancy:
        """The given cells."""
        return cls(cells_GGG=torch.as_tensor(cells_GGG, device=device))

    @property
    def resolution(self) -> int:
        """Cells along an axis."""
        return self.cells_GGG.shape[0]

    @cached_property
    def fraction(self) -> float:
        """Occupied share of the cube, in [0, 1]."""
        return float(self.cells_GGG.float().mean())

    @cached_property
    def box(self) -> Box | None:
        """The smallest box of whole cells that holds every occupied one; None where there is none."""
        occupied = self.cells_GGG.nonzero()
        if len(occupied) == 0:
            return None
        low = occupied.amin(0).double() * (2.0 / self.resolution) - 1.0
        high = (occupied.amax(0).double() + 1.0) * (2.0 / self.resolution) - 1.0
        (x0, y0, z0), (x1, y1, z1) = low.tolist(), high.tolist()
        return (x0, y0, z0), (x1, y1, z1)

    def grid_region(self, resolution: int, *, margin: int = 1) -> tuple[slice, slice, slice]:
        """The part of a field's grid that reaches into occupied cells, to index its volume with.

        Args:
            resolution: the field's grid points along an axis.
            margin: grid points added on all sides.
        """
        if self.box is None:
            return slice(0, 0), slice(0, 0), slice(0, 0)
        half, last = 0.5 * (resolution - 1), resolution - 1
        x, y, z = (
            slice(max(math.floor((low + 1) * half) - margin, 0), min(math.ceil((high + 1) * half) + margin, last) + 1)
            for low, high in zip(*self.box, strict=True)
        )
        return x, y, z

    @cached_property
    def _floor_or_empty(self) -> Tensor:
        """The density floor, -1 in empty cells and in a rim of one cell around the cube, flat."""
        floor = torch.zeros_like(self.cells_GGG, dtype=torch.float32)
        if self.sigma_floor_GGG is not None:
            floor = self.sigma_floor_GGG.float()
        return F.pad(torch.where(self.cells_GGG, floor, -1.0), (1,) * 6, value=-1.0).reshape(-1)

    def floor_at(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The density floor at points, or -1 where there is no matter.

        Args:
            x: world coordinate, any shape.
            y: same shape.
            z: same shape.

        Returns:
            float32 of that shape: >= 0 in occupied cells, -1 in empty ones and outside the cube.
        """
        side, half = self.resolution + 2, 0.5 * self.resolution
        i, j, k = (c.mul(half).add_(half + 1.0).clamp_(0.0, side - 1.0).to(torch.int32) for c in (x, y, z))
        cell = torch.add(k, torch.add(j, i, alpha=side), alpha=side)
        return self._floor_or_empty.index_select(0, cell.view(-1)).view(x.shape)

    def contains(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Whether points lie in occupied cells; arguments as of ``floor_at``."""
        return self.floor_at(x, y, z) >= 0


@torch.no_grad()
def occupancy_from_field(
    field: VoxelField,
    sharpness: float,
    *,
    resolution: int = 32,
    threshold: float = 0.01,
    dilate: int = 1,
    hull: Occupancy | None = None,
) -> Occupancy:
    """Cells whose densest point is not see-through.

    Conservative: a cell is judged by the largest of all grid points that reach into it, so no matter above the
    threshold lies in an empty cell.

    Args:
        field: the field.
        sharpness: slope of the density's sigmoid.
        resolution: cells along an axis.
        threshold: opacity of one voxel, in (0, 1), above which a cell counts as occupied.
        dilate: cells added around each occupied cell, so that the surface has room to move.
        hull: where matter may be at all; cells outside it stay empty. Must have the same resolution.
    """
    if not 0 < threshold < 1:
        raise ConfigError(f"threshold is an opacity in (0, 1), got {threshold}")
    if hull is not None and hull.resolution != resolution:
        raise ConfigError(f"the hull has {hull.resolution} cells along an axis, the occupancy {resolution}")
    raw = field.volume_RRR4()[..., 0].contiguous()
    densest, thinnest = raw, -raw
    for axis in range(3):
        densest = _windowed_max(densest, resolution, axis)
        thinnest = _windowed_max(thinnest, resolution, axis)
    opacity = -torch.expm1(-torch.sigmoid(densest * sharpness) * field.sigma_max * field.voxel)
    cells = dilated(opacity > threshold, dilate)
    return Occupancy(
        cells_GGG=cells if hull is None else cells & hull.cells_GGG,
        sigma_floor_GGG=torch.sigmoid(-thinnest * sharpness) * field.sigma_max,
    )


def dilated(cells_GGG: Tensor, cells: int) -> Tensor:
    """A boolean grid grown by a number of cells in all directions (a cube)."""
    grown = cells_GGG
    for axis in range(3):
        for _ in range(cells):
            inner = grown.shape[axis] - 1
            wider = grown.clone()
            wider.narrow(axis, 0, inner).logical_or_(grown.narrow(axis, 1, inner))
            wider.narrow(axis, 1, inner).logical_or_(grown.narrow(axis, 0, inner))
            grown = wider
    return grown


def _windowed_max(values: Tensor, cells: int, axis: int) -> Tensor:
    """Largest value of the grid points that reach into each cell, along one axis."""
    last = values.shape[axis] - 1
    edges = torch.arange(cells + 1, dtype=torch.float64) * last / cells
    first, stop = edges[:-1].floor().long(), edges[1:].ceil().long()
    largest = values.index_select(axis, first.to(values.device))
    for offset in range(1, int((stop - first).amax()) + 1):
        index = torch.minimum(first + offset, stop).to(values.device)
        largest = torch.maximum(largest, values.index_select(axis, index))
    return largest
