import torch

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.compositing import composite
from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.packing import SampleTable, sample_table
from lift3d_ray.field.voxels import activate

SIGMA_MAX, SHARPNESS = 9.0, 2.0


def table_with_gaps() -> SampleTable:
    """Rays of different lengths through scattered cells, some of which meet nothing."""
    origins, directions = pixel_rays(orbit_c2w(20.0, 35.0), 5)
    rays = [torch.from_numpy(v).reshape(-1, 3).double() for v in (origins, directions)]
    cells = torch.rand(6, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.7
    return sample_table(rays[0], rays[1], n_samples=12, occupancy=Occupancy(cells_GGG=cells))


def raw_values(table: SampleTable) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(table.xyz_3P.shape[1], 4, generator=generator, dtype=torch.float64).requires_grad_()


def test_a_table_keeps_ray_order_and_fills_rows_from_the_left() -> None:
    table = table_with_gaps()
    rows, width = table.t_MK.shape
    assert 3 < rows < 25
    count = torch.bincount(table.row_P, minlength=rows)
    assert int(count.min()) >= 1
    assert int(count.max()) == width > int(count.min())
    assert torch.equal(table.place_P // width, table.row_P)
    filled = torch.zeros(rows, width, dtype=torch.bool)
    filled.view(-1)[table.place_P] = True
    assert torch.equal(filled, torch.arange(width) < count[:, None])
    assert torch.equal(filled, table.t_MK > 0)
    assert (table.t_MK.diff(dim=1)[filled[:, 1:]] > 0).all()


def test_every_output_is_the_sum_written_out() -> None:
    table, step = table_with_gaps(), 2 * 1.05 / 12
    raw = raw_values(table)
    rgb, opacity, distance, weights = (
        v.detach() for v in composite(raw, table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS)
    )
    sigma, color = (v.detach() for v in activate(raw, sigma_max=SIGMA_MAX, sharpness=SHARPNESS))
    for ray in range(len(table.rays_M)):
        through, want = 1.0, torch.zeros(5, dtype=torch.float64)
        for column, sample in enumerate((table.row_P == ray).nonzero()[:, 0].tolist()):
            alpha = 1 - float(torch.exp(-sigma[sample] * step))
            weight = through * alpha
            want += weight * torch.cat([color[sample], torch.ones(1).double(), table.t_MK[ray, column, None]])
            assert abs(float(weights[ray, column]) - weight) < 1e-12
            through *= 1 - alpha
        assert torch.allclose(torch.stack([*rgb[ray], opacity[ray], distance[ray]]), want)


def test_every_gradient_is_the_finite_difference() -> None:
    table = table_with_gaps()
    raw = raw_values(table)
    assert torch.autograd.gradcheck(
        lambda values: composite(values, table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS), (raw,)
    )


def test_latents_are_composited_as_they_are() -> None:
    table = table_with_gaps()
    raw = (3 * torch.cat([raw_values(table), raw_values(table)[:, 1:]], dim=1)).detach().requires_grad_()
    seen = composite(raw, table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS, latent=True)
    colors = composite(raw[:, :4], table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS)
    for mine, theirs in zip(seen[1:], colors[1:], strict=True):
        assert torch.allclose(mine, theirs)
    weight_P = seen[3].view(-1)[table.place_P]
    summed = torch.zeros_like(seen[0]).index_add(0, table.row_P, weight_P[:, None] * raw[:, 1:])
    assert torch.allclose(seen[0], summed)
    assert torch.autograd.gradcheck(
        lambda values: composite(values, table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS, latent=True), (raw,)
    )


def test_outputs_that_nobody_uses_need_no_gradient() -> None:
    table = table_with_gaps()
    raw = raw_values(table)
    outputs = composite(raw, table, sigma_max=SIGMA_MAX, sharpness=SHARPNESS)
    generator = torch.Generator().manual_seed(2)
    upstream = [torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in outputs]
    (together,) = torch.autograd.grad(outputs, raw, upstream, retain_graph=True)
    apart = sum(
        torch.autograd.grad(out, raw, grad, retain_graph=True)[0] for out, grad in zip(outputs, upstream, strict=True)
    )
    assert torch.allclose(together, torch.as_tensor(apart))
