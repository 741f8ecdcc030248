import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.render import RenderedRays, render_rays
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance.regularizers import (
    alpha_entropy,
    emptiness,
    laplacian,
    negative_pearson,
    opacity,
    total_variation,
    total_variation_by_channel,
)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "loss",
    [
        alpha_entropy,
        opacity,
        lambda x: emptiness(x.view(2, -1), 5),
        lambda x: total_variation(x.view(3, 3, 3, 2)),
        lambda x: total_variation(x.view(3, 2, 3, 3)[..., :2]),
        lambda x: (total_variation_by_channel(x.view(3, 3, 3, 2)) * uniform(2, seed=4)).sum(),
        lambda x: laplacian(x.view(3, 3, 3, 2)),
        lambda x: negative_pearson(x, uniform(54, seed=1)),
        lambda x: negative_pearson(uniform(54, seed=1), x, uniform(54, seed=2) > 0.5),
    ],
    ids=[
        "entropy",
        "opacity",
        "emptiness",
        "tv",
        "tv of a view",
        "weighted tv",
        "laplacian",
        "pearson",
        "masked pearson",
    ],
)
def test_gradients_are_finite_differences_and_not_zero(loss: Callable[[Tensor], Tensor]) -> None:
    x = (uniform(54) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert float(gradient.abs().max()) > 1e-4


def rendered() -> tuple[VoxelField, RenderedRays]:
    resolution = 12
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    raw = (0.6 - xyz.norm(dim=-1, keepdim=True)) * 2
    field = VoxelField(torch.cat([raw, xyz.square()], dim=-1).reshape(-1, 4))
    origins, directions = pixel_rays(orbit_c2w(30.0, 20.0), 12)
    rays = [torch.from_numpy(v).reshape(-1, 3).double() for v in (origins, directions)]
    out = render_rays(
        field, rays[0], rays[1], n_samples=24, sharpness=3.0, background=torch.ones(3, dtype=torch.float64)
    )
    return field, out


@pytest.mark.parametrize(
    ("loss", "colored"),
    [
        (lambda field, out: alpha_entropy(out.opacity_N), False),
        (lambda field, out: opacity(out.opacity_N), False),
        (lambda field, out: emptiness(out.weights_MK, len(out.opacity_N)), False),
        (lambda field, out: negative_pearson(out.depth_N, uniform(144), out.opacity_N > 0.2), False),
        (lambda field, out: total_variation(field.volume_RRR4()), True),
        (lambda field, out: laplacian(field.volume_RRR4()), True),
    ],
    ids=["entropy", "opacity", "emptiness", "pearson", "tv", "laplacian"],
)
def test_every_loss_reaches_the_density_and_grid_losses_the_color(
    loss: Callable[[VoxelField, RenderedRays], Tensor], colored: bool
) -> None:
    field, out = rendered()
    (gradient,) = torch.autograd.grad(loss(field, out), field.values_V4)
    assert torch.isfinite(gradient).all()
    assert float(gradient[:, 0].abs().max()) > 1e-6
    assert bool(gradient[:, 1:].abs().max() > 1e-6) is colored


def test_entropy_is_one_bit_at_one_half_and_none_at_the_ends() -> None:
    assert alpha_entropy(torch.tensor([0.5])).item() == pytest.approx(1.0)
    assert alpha_entropy(torch.tensor([0.0, 1.0])).item() == pytest.approx(0.0, abs=1e-3)


def test_entropy_and_pearson_stay_finite_at_saturated_values() -> None:
    saturated = torch.tensor([0.0, 1.0, 1.0], requires_grad=True)
    (alpha_entropy(saturated) + negative_pearson(saturated * 0.0, torch.tensor([1.0, 2.0, 3.0]))).backward()
    assert saturated.grad is not None
    assert torch.isfinite(saturated.grad).all()


def test_emptiness_prefers_one_surface_to_fog_and_ignores_padding() -> None:
    fog = torch.full((1, 8), 0.125)
    surface = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert emptiness(surface, 1) < emptiness(fog, 1)
    assert emptiness(surface, 1).item() == pytest.approx(math.log(11.0))
    assert emptiness(surface, 2).item() == pytest.approx(math.log(11.0) / 2)


def test_total_variation_is_the_mean_squared_step() -> None:
    volume = torch.zeros(4, 4, 4, 2)
    volume[2:, :, :, 1] = 3.0
    # One step of 3 along x crosses 16 of the 3 * 48 pairs.
    assert total_variation_by_channel(volume).tolist() == pytest.approx([0.0, 9.0 * 16 / 144])
    assert total_variation(volume).item() == pytest.approx(9.0 * 16 / 288)
    assert total_variation(volume[:2]).item() == 0.0


def test_laplacian_leaves_ramps_alone() -> None:
    axis = torch.linspace(-1, 1, 6, dtype=torch.float64)
    ramp = (axis[:, None, None] + 2 * axis[:, None] - axis).unsqueeze(-1)
    assert laplacian(ramp).item() == pytest.approx(0.0, abs=1e-20)
    bump = ramp.clone()
    bump[3, 3, 3] += 1.0
    assert laplacian(bump).item() > 0.0
    assert laplacian(bump[:, :, :3]).item() == pytest.approx(0.0, abs=1e-20)


def test_pearson_is_blind_to_scale_and_shift() -> None:
    x = uniform(50)
    assert negative_pearson(x, 5 * x - 3).item() == pytest.approx(-1.0, abs=1e-4)
    assert negative_pearson(x, -0.5 * x + 3).item() == pytest.approx(1.0, abs=1e-4)


def test_pearson_of_a_constant_or_of_nothing_is_zero_with_a_finite_gradient() -> None:
    for x, mask in ((torch.full((9,), 3.2), None), (torch.rand(9), torch.zeros(9, dtype=torch.bool))):
        x.requires_grad_()
        value = negative_pearson(x, uniform(9).float(), mask)
        value.backward()
        assert value.item() == pytest.approx(0.0, abs=1e-6)
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
