"""Normals of the field: where they point, what they cost, and that density learns from them."""

from __future__ import annotations

import pytest
import torch

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.normals import normals_at, slopes
from lift3d_ray.field.render import render_rays
from lift3d_ray.field.visible import LEAST_WEIGHT, visible_samples
from lift3d_ray.field.voxels import VoxelField, query
from tests.fields import against_finite_differences


def ball(resolution: int = 17, radius: float = 0.6) -> VoxelField:
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    raw = 2 * (radius - xyz.norm(dim=-1, keepdim=True))
    return VoxelField(torch.cat([raw, xyz], dim=-1).reshape(-1, 4))


def directions(count: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=-1)


@pytest.mark.parametrize("resolution", [17, 33])
def test_normals_of_a_ball_point_outward_at_any_resolution(resolution: int) -> None:
    field, outward = ball(resolution), directions(200)
    normals = normals_at(slopes(field), 0.6 * outward).detach()
    assert float((normals * outward).sum(-1).min()) > 0.995
    assert float(normals.norm(dim=-1).min()) > 0.99


def test_normals_are_the_differences_of_the_field_one_voxel_either_way() -> None:
    field = VoxelField(torch.randn(9**3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    points = 0.7 * directions(50, seed=1)
    steps = field.voxel * torch.eye(3, dtype=torch.float64)

    def raw(xyz: torch.Tensor) -> torch.Tensor:
        sigma, _ = query(field, xyz, 1.0)
        return torch.logit(sigma / field.sigma_max)

    rising = torch.stack([raw(points + step) - raw(points - step) for step in steps], dim=-1)
    expected = -torch.nn.functional.normalize(rising, dim=-1)
    torch.testing.assert_close(normals_at(slopes(field), points), expected, atol=1e-3, rtol=0)


def test_a_field_without_a_slope_has_no_normal_and_a_finite_gradient() -> None:
    field = VoxelField(torch.full((5**3, 4), 0.3, dtype=torch.float64))
    normals = normals_at(slopes(field), 0.5 * directions(4))
    normals.sum().backward()
    assert float(normals.detach().abs().max()) == 0
    assert field.values_V4.grad is not None
    assert bool(torch.isfinite(field.values_V4.grad).all())


def test_gradients_are_finite_differences() -> None:
    points, upstream = 0.5 * directions(6), directions(6, seed=2)
    gradient = against_finite_differences(lambda field: (normals_at(slopes(field), points) * upstream).sum(), ball(5))
    assert float(gradient[:, 0].abs().max()) > 1e-2
    assert float(gradient[:, 1:].abs().max()) == 0


def test_visible_samples_are_those_that_make_the_picture() -> None:
    field = ball()
    origins, rays = (torch.from_numpy(v).reshape(-1, 3).double() for v in pixel_rays(orbit_c2w(40.0, 10.0), 10))
    rendered = render_rays(
        field, origins, rays, n_samples=60, sharpness=30.0, background=torch.ones(3, dtype=torch.float64)
    )
    seen = visible_samples(rendered, origins, rays)
    assert len(seen.weight_S) > 20
    assert float(seen.weight_S.min()) > LEAST_WEIGHT
    assert float(seen.weight_S.sum()) == pytest.approx(float(rendered.opacity_N.sum().detach()), rel=0.05)
    torch.testing.assert_close(seen.directions_S3.norm(dim=-1), torch.ones_like(seen.weight_S))
    # A sharp ball is seen on its skin, from the camera's side.
    assert float((seen.xyz_S3.norm(dim=-1) - 0.6).abs().max()) < 0.15
    assert float((seen.xyz_S3 * seen.directions_S3).sum(-1).max()) < 0.1
    assert not seen.weight_S.requires_grad
