import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.field.occupancy import Occupancy, dilated, occupancy_from_field
from lift3d_ray.field.voxels import VoxelField, query


def random_blobs(resolution: int, seed: int = 0) -> VoxelField:
    """A field that is empty but for a few single solid grid points."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.full((resolution**3, 4), -1.0)
    values[torch.randint(0, resolution**3, (6,), generator=generator), 0] = 1.0
    return VoxelField(values)


@pytest.mark.parametrize(("field_resolution", "cells"), [(8, 8), (9, 8), (17, 8), (8, 13), (24, 5), (33, 32)])
def test_no_matter_lies_in_an_empty_cell(field_resolution: int, cells: int) -> None:
    field = random_blobs(field_resolution)
    occupancy = occupancy_from_field(field, 20.0, resolution=cells, threshold=0.01, dilate=0)
    points = torch.rand(40000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    sigma, _ = query(field, points, 20.0)
    opaque = (1 - torch.exp(-sigma * field.voxel)) > 0.01
    assert opaque.any()
    assert occupancy.contains(*points[opaque].unbind(-1)).all()
    assert occupancy.fraction < 0.9


def test_cells_are_indexed_x_y_z() -> None:
    cells = torch.zeros(4, 4, 4, dtype=torch.bool)
    cells[3, 0, 1] = True
    occupancy = Occupancy(cells_GGG=cells)
    points = torch.tensor([[0.9, -0.9, -0.3], [-0.3, -0.9, 0.9], [5.0, -0.9, -0.3]])
    assert occupancy.contains(*points.unbind(-1)).tolist() == [True, False, False]
    assert occupancy.box == ((0.5, -1.0, -0.5), (1.0, -0.5, 0.0))


@pytest.mark.parametrize("resolution", [5, 9, 32])
def test_the_grid_region_holds_every_grid_point_that_reaches_into_a_cell(resolution: int) -> None:
    cells = torch.zeros(8, 8, 8, dtype=torch.bool)
    cells[2:4, 7, 5] = True
    region = Occupancy(cells_GGG=cells).grid_region(resolution, margin=0)
    step = 2 / (resolution - 1)
    for part, (low, high) in zip(region, ((-0.5, 0.0), (0.75, 1.0), (0.25, 0.5)), strict=True):
        assert -1 + part.start * step <= low < -1 + (part.start + 1) * step
        assert -1 + (part.stop - 2) * step < high <= -1 + (part.stop - 1) * step
    assert Occupancy(cells_GGG=torch.zeros(2, 2, 2, dtype=torch.bool)).grid_region(9)[0] == slice(0, 0)


def test_a_dense_floor_lets_rays_stop_but_never_too_early() -> None:
    field = VoxelField(torch.randn(9**3, 4, generator=torch.Generator().manual_seed(0)) + 0.5)
    occupancy = occupancy_from_field(field, 5.0, resolution=6)
    points = torch.rand(20000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    sigma, _ = query(field, points, 5.0)
    floor = occupancy.floor_at(*points.unbind(-1))
    assert (floor <= sigma * (1 + 1e-5)).all()
    assert (floor > 0.2 * sigma).any()


def test_the_hull_bounds_the_occupancy() -> None:
    field = VoxelField(torch.ones(8**3, 4))
    hull = torch.zeros(8, 8, 8, dtype=torch.bool)
    hull[2:4] = True
    occupancy = occupancy_from_field(field, 10.0, resolution=8, dilate=2, hull=Occupancy(cells_GGG=hull))
    assert torch.equal(occupancy.cells_GGG, hull)


def test_dilation_grows_a_cube() -> None:
    cells = torch.zeros(7, 7, 7, dtype=torch.bool)
    cells[3, 3, 3] = True
    assert int(dilated(cells, 1).sum()) == 27
    assert torch.equal(dilated(cells, 0), cells)


def test_an_empty_field_is_empty_and_a_full_grid_is_full() -> None:
    field = VoxelField(torch.full((5**3, 4), -1.0))
    assert occupancy_from_field(field, 30.0, resolution=8).fraction == 0.0
    assert Occupancy.full(3).fraction == 1.0
    assert Occupancy.full().contains(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)).all()


def test_nonsense_is_refused() -> None:
    field = random_blobs(4)
    with pytest.raises(ConfigError, match="threshold"):
        occupancy_from_field(field, 10.0, threshold=0.0)
    with pytest.raises(ConfigError, match="hull"):
        occupancy_from_field(field, 10.0, resolution=8, hull=Occupancy.full(4))
    with pytest.raises(ConfigError, match="bool cube"):
        Occupancy(cells_GGG=torch.zeros(2, 2, 3, dtype=torch.bool))
