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
