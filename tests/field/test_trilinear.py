import pytest
import torch

from lift3d_ray.field.trilinear import corner_weights, interpolate, interpolate_grid_sample


def table_and_points(resolution: int, count: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(resolution**3, 4, generator=generator, dtype=dtype)
    # Some points lie outside the cube, on its faces, and exactly on grid points.
    points = torch.rand(count, 3, generator=generator, dtype=dtype) * 2.4 - 1.2
    special = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, -1.0]], dtype=dtype)
    return table.requires_grad_(), torch.cat([points, special])


@pytest.mark.parametrize("resolution", [2, 5, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_grid_sample_s(resolution: int, dtype: torch.dtype) -> None:
    table, points = table_and_points(resolution, 500, dtype)
    upstream = torch.randn(len(points), 4, generator=torch.Generator().manual_seed(1), dtype=dtype)

    ours = interpolate(table, points)
    (our_grad,) = torch.autograd.grad(ours, table, upstream)
    oracle = interpolate_grid_sample(table, points)
    (oracle_grad,) = torch.autograd.grad(oracle, table, upstream)

    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.allclose(ours, oracle, atol=tolerance)
    assert torch.allclose(our_grad, oracle_grad, atol=10 * tolerance)


def test_gradient_is_the_finite_difference() -> None:
    table, points = table_and_points(3, 12, torch.float64)
    assert torch.autograd.gradcheck(lambda values: interpolate(values, points), (table,))


def test_it_reproduces_linear_functions_exactly() -> None:
    axis = torch.linspace(-1, 1, 6, dtype=torch.float64)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    table = torch.stack([x, y, z, x + 2 * y - z], dim=-1).reshape(-1, 4)
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1
    out = interpolate(table, points)
    assert torch.allclose(out[:, :3], points)
    assert torch.allclose(out[:, 3], points @ torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64))


def test_weights_sum_to_one_and_rows_stay_in_the_table() -> None:
    _, points = table_and_points(4, 300, torch.float64)
    rows, weights = corner_weights(points.t().contiguous(), 4)
    assert torch.allclose(weights.sum(-1), torch.ones(len(points), dtype=torch.float64))
    assert int(rows.min()) >= 0
    assert int(rows.max()) < 4**3


def test_no_points_give_no_rows_and_no_gradient() -> None:
    table, _ = table_and_points(3, 1, torch.float32)
    out = interpolate(table, torch.zeros(0, 3))
    assert out.shape == (0, 4)
    out.sum().backward()
    assert table.grad is not None
    assert float(table.grad.abs().sum()) == 0.0
