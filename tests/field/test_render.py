import math

import numpy as np
import pytest
import torch

from lift3d_ray.cameras import Framing, orbit_c2w, pixel_rays, project
from lift3d_ray.field.occupancy import Occupancy, occupancy_from_field
from lift3d_ray.field.oracle import render_rays_dense
from lift3d_ray.field.render import render_rays, render_view
from lift3d_ray.field.voxels import VoxelField


def ball_field(
    resolution: int = 17, radius: float = 0.6, center: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> VoxelField:
    """A float64 ball, raw density a signed distance, colours growing with x, y, z."""
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    distance = radius - (xyz - torch.tensor(center, dtype=torch.float64)).norm(dim=-1)
    raw = (distance / (3 * 2 / (resolution - 1))).clamp(-1, 1)
    return VoxelField(torch.cat([raw[..., None], 2 * xyz], dim=-1).reshape(-1, 4))


def rays(size: int = 10, azimuth: float = 40.0, elevation: float = 25.0) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = pixel_rays(orbit_c2w(azimuth, elevation), size)
    return torch.from_numpy(origins).reshape(-1, 3).double(), torch.from_numpy(directions).reshape(-1, 3).double()


BACKGROUND = torch.tensor([0.2, 0.9, 0.4], dtype=torch.float64)


@pytest.mark.parametrize("occupancy", [None, Occupancy.full(1), Occupancy.full(7)])
def test_values_and_gradients_are_the_oracle_s(occupancy: Occupancy | None) -> None:
    field = ball_field()
    origins, directions = rays()
    generator = torch.Generator().manual_seed(0)
    up_rgb = torch.randn(len(origins), 3, generator=generator, dtype=torch.float64)
    up_opacity, up_depth = torch.randn(2, len(origins), generator=generator, dtype=torch.float64)

    fast = render_rays(
        field, origins, directions, n_samples=24, sharpness=4.0, background=BACKGROUND, occupancy=occupancy
    )
    rgb, opacity, distance = render_rays_dense(
        field, origins, directions, n_samples=24, sharpness=4.0, background=BACKGROUND
    )
    solid = opacity > 1e-3
    depth = torch.where(solid, distance / opacity.clamp_min(1e-3), torch.zeros_like(opacity))
    assert torch.allclose(fast.rgb_N3, rgb)
    assert torch.allclose(fast.opacity_N, opacity)
    assert torch.allclose(fast.depth_N, depth)

    def gradient(rgb: torch.Tensor, opacity: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        loss = (rgb * up_rgb).sum() + (opacity * up_opacity).sum() + (depth * up_depth).sum()
        return torch.autograd.grad(loss, field.values_V4)[0]

    ours, theirs = gradient(fast.rgb_N3, fast.opacity_N, fast.depth_N), gradient(rgb, opacity, depth)
    assert theirs[:, 0].abs().max() > 1e-2
    assert theirs[:, 1:].abs().max() > 1e-2
    assert torch.allclose(ours, theirs, atol=1e-10)


def test_gradient_is_the_finite_difference() -> None:
    field = ball_field(6)
    origins, directions = rays(4)

    def loss() -> torch.Tensor:
        out = render_rays(field, origins, directions, n_samples=10, sharpness=3.0, background=BACKGROUND)
        return (out.rgb_N3**2).sum() + out.opacity_N.sum() + out.depth_N.sum()

    (gradient,) = torch.autograd.grad(loss(), field.values_V4)
    strongest = gradient.abs().amax(-1).argsort(descending=True)[:5]
    for row in strongest.tolist():
        for channel in range(4):
            with torch.no_grad():
                field.values_V4[row, channel] += 1e-5
                above = loss()
                field.values_V4[row, channel] -= 2e-5
                below = loss()
                field.values_V4[row, channel] += 1e-5
            assert float(above - below) / 2e-5 == pytest.approx(float(gradient[row, channel]), rel=1e-4, abs=1e-8)


def test_skipping_empty_cells_changes_next_to_nothing_and_saves_samples() -> None:
    field = ball_field(33, radius=0.4)
    origins, directions = rays(16)
    occupancy = occupancy_from_field(field, 20.0, resolution=16, threshold=1e-4)
    every = render_rays(field, origins, directions, n_samples=48, sharpness=20.0, background=BACKGROUND)
    some = render_rays(
        field, origins, directions, n_samples=48, sharpness=20.0, background=BACKGROUND, occupancy=occupancy
    )
    assert torch.allclose(some.rgb_N3, every.rgb_N3, atol=1e-4)
    assert torch.allclose(some.opacity_N, every.opacity_N, atol=1e-4)
    assert some.n_evaluated < 0.4 * every.n_evaluated


def test_optical_thickness_is_measured_along_the_ray_not_along_the_axis() -> None:
    # Uniform fog: the opacity of a ray tells the world length of its path, oblique or not.
    field = VoxelField(torch.full((8**3, 4), -0.8, dtype=torch.float64))
    directions = torch.tensor([[0.0, 0.0, -1.0], [0.3, 0.0, -1.0]], dtype=torch.float64)
    origins = -1.5 * directions
    out = render_rays(field, origins, directions, n_samples=2000, sharpness=5.0, background=BACKGROUND)
    sigma = field.sigma_max / (1 + math.exp(4.0))
    # Through the origin the cube's faces z = +-1 bound the first path; the ball of radius 1.05 is wider there.
    lengths = torch.tensor([2.0, 2.0 * math.hypot(0.3, 1.0)])
    assert torch.allclose(out.opacity_N, 1 - torch.exp(-sigma * lengths.double()), atol=1e-3)


def test_depth_is_z_depth_of_the_surface() -> None:
    field = ball_field(65, radius=0.6)
    origins, directions = rays(9, azimuth=0.0, elevation=0.0)
    out = render_rays(field, origins, directions, n_samples=300, sharpness=60.0, background=BACKGROUND)
    b = (origins * directions).sum(-1)
    a = directions.square().sum(-1)
    inside = b.square() - a * (origins.square().sum(-1) - 0.45**2) > 0
    expected = (-b - (b.square() - a * (origins.square().sum(-1) - 0.6**2)).clamp_min(0).sqrt()) / a
    assert int(inside.sum()) > 8
    assert torch.allclose(out.depth_N[inside], expected[inside], atol=0.02)
    assert out.opacity_N[inside].min() > 0.99


def test_weights_sum_to_the_opacity_of_their_rays() -> None:
    field = ball_field()
    origins, directions = rays()
    out = render_rays(
        field,
        origins,
        directions,
        n_samples=24,
        sharpness=4.0,
        background=BACKGROUND,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.allclose(out.weights_MK.sum(-1), out.opacity_N[out.rays_M])
    others = torch.ones(len(origins), dtype=torch.bool)
    others[out.rays_M] = False
    assert others.any()
    assert out.opacity_N[others].abs().max() == 0


def test_nothing_occupied_is_pure_background_and_still_differentiable() -> None:
    field = ball_field()
    origins, directions = rays()
    nothing = Occupancy(cells_GGG=torch.zeros(4, 4, 4, dtype=torch.bool))
    out = render_rays(field, origins, directions, n_samples=24, sharpness=4.0, background=BACKGROUND, occupancy=nothing)
    assert torch.equal(out.rgb_N3, BACKGROUND.expand(len(origins), 3))
    assert out.n_evaluated == 0
    (out.rgb_N3.sum() + out.depth_N.sum() + out.opacity_N.sum()).backward()
    assert field.values_V4.grad is not None
    assert float(field.values_V4.grad.abs().sum()) == 0.0


def test_a_background_per_ray_is_seen_through() -> None:
    field = VoxelField(torch.full((4**3, 4), -1.0, dtype=torch.float64))
    origins, directions = rays(3)
    background = torch.rand(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = render_rays(field, origins, directions, n_samples=8, sharpness=60.0, background=background)
    assert torch.allclose(out.rgb_N3, background)


@pytest.mark.parametrize("framing", [Framing(), Framing(focal_scale=1.4, shift_x=0.1, shift_y=-0.2)])
def test_a_view_shows_a_ball_where_the_camera_projects_it(framing: Framing) -> None:
    center = (0.3, -0.2, 0.35)
    field = ball_field(33, radius=0.25, center=center)
    c2w = orbit_c2w(65.0, 30.0)[0]
    view = render_view(field, c2w, 48, sharpness=20.0, n_samples=64, framing=framing, chunk_rays=1000)
    rows, columns = np.nonzero(view.opacity_HW.numpy() > 0.5)
    xy, depth = project(np.array([center], dtype=np.float32), c2w, 48, framing=framing)
    assert [columns.mean() + 0.5, rows.mean() + 0.5] == pytest.approx(xy[0].tolist(), abs=0.4)
    assert float(view.depth_HW[view.opacity_HW > 0.9].amin()) == pytest.approx(float(depth[0]) - 0.25, abs=0.04)
    assert torch.allclose(view.rgb_HW3[0, 0], torch.ones(3, dtype=torch.float64))
    assert not view.rgb_HW3.requires_grad


def test_jitter_changes_samples_with_the_seed_only() -> None:
    field = ball_field()
    origins, directions = rays()
    drawn = [
        render_rays(
            field,
            origins,
            directions,
            n_samples=24,
            sharpness=4.0,
            background=BACKGROUND,
            generator=torch.Generator().manual_seed(seed),
        ).rgb_N3
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
