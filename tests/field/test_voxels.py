import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.field.voxels import VoxelField, density_grid, query, raw_density_grid


def random_field(resolution: int, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> VoxelField:
    generator = torch.Generator().manual_seed(seed)
    return VoxelField(torch.randn(resolution**3, 4, generator=generator, dtype=dtype))


def grid_points(resolution: int) -> torch.Tensor:
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def test_volumes_are_indexed_x_y_z() -> None:
    density = np.zeros((4, 4, 4), dtype=np.float32)
    rgb = np.zeros((4, 4, 4, 3), dtype=np.float32)
    density[3, 1, 0] = 7.0
    rgb[3, 1, 0] = (1.0, 2.0, 3.0)
    field = VoxelField.from_volumes(density, rgb)

    assert field.volume_RRR4()[3, 1, 0].tolist() == [7.0, 1.0, 2.0, 3.0]
    sigma, color = query(field, torch.tensor([[1.0, -1.0 / 3.0, -1.0]]), sharpness=2.0)
    assert sigma.item() == pytest.approx(field.sigma_max / (1 + np.exp(-14.0)), rel=1e-5)
    assert color[0].tolist() == pytest.approx([1 / (1 + np.exp(-v)) for v in (1.0, 2.0, 3.0)], rel=1e-4)


def test_a_voxel_of_solid_is_nearly_opaque_at_any_resolution() -> None:
    for resolution in (16, 48):
        field = VoxelField(torch.full((resolution**3, 4), 9.0))
        sigma, _ = query(field, torch.zeros(1, 3), sharpness=10.0)
        assert 0.97 < 1 - torch.exp(-sigma.detach() * field.voxel).item() < 0.99


def test_sharpness_does_not_move_the_surface() -> None:
    field = random_field(5)
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
    soft, _ = query(field, points, sharpness=1.0)
    hard, _ = query(field, points, sharpness=50.0)
    half = field.sigma_max / 2
    assert torch.equal(soft > half, hard > half)


def test_upsampling_to_nested_grids_keeps_every_value_between() -> None:
    field = random_field(5)
    finer = field.upsampled(9)
    # 9 points refine 5 points exactly, so both are the same trilinear function up to sigma_max.
    assert finer.resolution == 9
    assert torch.allclose(finer.volume_RRR4()[::2, ::2, ::2], field.volume_RRR4())
    middle = 0.5 * (field.volume_RRR4()[1:, 0, 0] + field.volume_RRR4()[:-1, 0, 0])
    assert torch.allclose(finer.volume_RRR4()[1::2, 0, 0], middle)


def test_upsampled_field_is_a_leaf_of_its_own() -> None:
    field = random_field(4)
    same = field.upsampled(4)
    assert same.values_V4.is_leaf
    assert same.values_V4.requires_grad
    with torch.no_grad():
        same.values_V4.zero_()
    assert field.values_V4.abs().sum() > 0


def test_density_grid_is_the_query_at_its_points() -> None:
    field = random_field(4)
    sigma, _ = query(field, grid_points(7), sharpness=3.0)
    grid = density_grid(field, 7, sharpness=3.0)
    # Density is taken from interpolated raw values, never interpolated itself.
    assert torch.allclose(grid.reshape(-1), sigma)
    assert not grid.requires_grad


def test_raw_density_grid_is_the_table_at_its_own_resolution() -> None:
    field = random_field(4)
    assert torch.equal(raw_density_grid(field), field.volume_RRR4()[..., 0])


@pytest.mark.parametrize("shape", [(27, 3), (28, 4), (1, 4), (3, 3, 3, 4)])
def test_tables_that_are_no_cube_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="R\\*\\*3"):
        VoxelField(torch.zeros(shape))


def test_colors_of_another_grid_are_refused() -> None:
    with pytest.raises(ConfigError, match="colours"):
        VoxelField.from_volumes(np.zeros((4, 4, 4), np.float32), np.zeros((5, 5, 5, 3), np.float32))
