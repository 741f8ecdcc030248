"""The CUDA path: on a GPU as it is, and anywhere else with nerfacc's three CUDA kernels written out in Python."""

from types import SimpleNamespace

import nerfacc.estimators.occ_grid
import nerfacc.volrend
import pytest
import torch
from nerfacc.scan import exclusive_sum
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.marching import march_rays
from lift3d_ray.field.occupancy import Occupancy, occupancy_from_field
from lift3d_ray.field.oracle import render_rays_dense
from lift3d_ray.field.render import render_rays
from lift3d_ray.field.voxels import VoxelField

HAS_GPU = torch.cuda.is_available()


def ball_field(device: str = "cpu") -> VoxelField:
    axis = torch.linspace(-1, 1, 25)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    raw = ((0.6 - xyz.norm(dim=-1, keepdim=True)) * 4).clamp(-1, 1)
    return VoxelField(torch.cat([raw, 2 * xyz], dim=-1).reshape(-1, 4).to(device))


def camera_rays(size: int = 12) -> tuple[Tensor, Tensor]:
    origins, directions = pixel_rays(orbit_c2w(40.0, 25.0), size)
    return torch.from_numpy(origins).reshape(-1, 3), torch.from_numpy(directions).reshape(-1, 3)


def traverse_in_python(
    rays_o: Tensor,
    rays_d: Tensor,
    binaries: Tensor,
    aabbs: Tensor,
    *,
    near_planes: Tensor,
    far_planes: Tensor,
    step_size: float,
    cone_angle: float,
) -> tuple[SimpleNamespace, SimpleNamespace, None]:
    """nerfacc's ``traverse_grids`` for one grid: the steps from the near plane whose middles lie in occupied cells."""
    assert cone_angle == 0.0
    assert aabbs.tolist() == [[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]]
    assert torch.allclose(rays_d.norm(dim=-1), torch.ones(len(rays_d)))
    cells = Occupancy(cells_GGG=binaries[0])
    starts, rays = [], []
    for ray in range(len(rays_o)):
        t = near_planes[ray] + torch.arange(200) * step_size
        middle = rays_o[ray] + (t[:, None] + 0.5 * step_size) * rays_d[ray]
        keep = cells.contains(*middle.unbind(-1)) & (t + 0.5 * step_size < far_planes[ray])
        starts.append(t[keep])
        rays.append(torch.full((int(keep.sum()),), ray))
    begin, ray_indices = torch.cat(starts), torch.cat(rays)
    ends = torch.stack([begin, begin + step_size], dim=-1).view(-1)
    left = torch.arange(len(ends)) % 2 == 0
    samples = SimpleNamespace(ray_indices=ray_indices, packed_info=pack_in_python(ray_indices, len(rays_o)))
    return SimpleNamespace(vals=ends, is_left=left, is_right=~left), samples, None


def pack_in_python(ray_indices: Tensor, n_rays: int | None = None) -> Tensor:
    count = torch.bincount(ray_indices, minlength=n_rays or 0)
    return torch.stack([count.cumsum(0) - count, count], dim=-1)


def exclusive_sum_in_python(inputs: Tensor, packed_info: Tensor | None = None) -> Tensor:
    if packed_info is None:
        batched: Tensor = exclusive_sum(inputs)
        return batched
    parts = [inputs[s : s + n].cumsum(0) - inputs[s : s + n] for s, n in packed_info.tolist()]
    return torch.cat(parts)


@pytest.fixture
def kernels_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nerfacc.estimators.occ_grid, "traverse_grids", traverse_in_python)
    monkeypatch.setattr(nerfacc.volrend, "pack_info", pack_in_python)
    monkeypatch.setattr(nerfacc.volrend, "exclusive_sum", exclusive_sum_in_python)


@pytest.mark.usefixtures("kernels_in_python")
@pytest.mark.parametrize("seed", [None, 3])
def test_marching_samples_and_sums_what_the_cpu_path_does(seed: int | None) -> None:
    field = ball_field()
    origins, directions = camera_rays()
    occupancy = occupancy_from_field(field, 12.0, resolution=9)

    def generator() -> torch.Generator | None:
        return None if seed is None else torch.Generator().manual_seed(seed)

    marched = march_rays(
        field,
        origins,
        directions,
        n_samples=30,
        sharpness=12.0,
        occupancy=occupancy,
        generator=generator(),
    )
    packed = render_rays(
        field,
        origins,
        directions,
        n_samples=30,
        sharpness=12.0,
        background=torch.zeros(3),
        # Without the density floor, which only the CPU path uses, nothing is cut short there.
        occupancy=Occupancy(cells_GGG=occupancy.cells_GGG),
        generator=generator(),
    )
    assert torch.allclose(marched.rgb_N3, packed.rgb_N3, atol=3e-4)
    assert torch.allclose(marched.opacity_N, packed.opacity_N, atol=3e-4)
    solid = packed.opacity_N > 0.5
    assert torch.allclose((marched.distance_N / marched.opacity_N)[solid], packed.depth_N[solid], atol=1e-3)
    assert marched.n_evaluated < packed.n_evaluated
    assert torch.allclose(marched.weights_MK.sum(-1), marched.opacity_N[marched.rays_M], atol=1e-6)
    assert torch.allclose((marched.weights_MK * marched.t_MK).sum(-1), marched.distance_N[marched.rays_M], atol=1e-5)


@pytest.mark.usefixtures("kernels_in_python")
def test_marching_through_nothing_is_empty_and_differentiable() -> None:
    field = ball_field()
    origins, directions = camera_rays(4)
    nothing = Occupancy(cells_GGG=torch.zeros(4, 4, 4, dtype=torch.bool))
    out = march_rays(field, origins, directions, n_samples=10, sharpness=5.0, occupancy=nothing)
    assert out.n_evaluated == 0
    assert out.weights_MK.shape == (0, 0)
    (out.rgb_N3.sum() + out.opacity_N.sum() + out.weights_MK.sum()).backward()


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")
def test_on_a_gpu_values_and_gradients_are_the_oracle_s() -> None:
    field = ball_field("cuda")
    origins, directions = (v.cuda() for v in camera_rays(24))
    background = torch.tensor([0.2, 0.9, 0.4], device="cuda")
    out = render_rays(field, origins, directions, n_samples=40, sharpness=4.0, background=background)
    rgb, opacity, distance = render_rays_dense(
        field, origins, directions, n_samples=40, sharpness=4.0, background=background
    )
    assert torch.allclose(out.rgb_N3, rgb, atol=1e-3)
    assert torch.allclose(out.opacity_N, opacity, atol=1e-3)
    solid = opacity > 0.5
    assert torch.allclose(out.depth_N[solid], (distance / opacity)[solid], atol=2e-3)
    ours, theirs = (
        torch.autograd.grad(a.square().sum() + b.square().sum(), field.values_V4)[0]
        for a, b in ((out.rgb_N3, out.opacity_N), (rgb, opacity))
    )
    assert torch.allclose(ours, theirs, atol=1e-2 * float(theirs.abs().max()))
