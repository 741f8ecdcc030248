"""Pictures of points against a slow, plain reference; gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.refine.rasterize import SCALES, Splats, coverage, draw, splat, splat_scales

SIZE, RADIUS, NEAREST = 9, 1.7, 3


def scattered(count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, some outside the picture, depths, one behind the camera, and descriptors of 4 channels."""
    generator = torch.Generator().manual_seed(seed)
    xy = torch.rand(count, 2, generator=generator, dtype=torch.float64) * (SIZE + 4) - 2
    depth = torch.rand(count, generator=generator, dtype=torch.float64) + 1
    depth[0] = -1.0
    return xy, depth, torch.rand(count, 4, generator=generator, dtype=torch.float64)


def slowly(xy: Tensor, depth: Tensor, descriptors: Tensor, background: Tensor) -> Tensor:
    """The same picture, one pixel and one point at a time."""
    picture = torch.zeros(descriptors.shape[1], SIZE, SIZE, dtype=torch.float64)
    for row in range(SIZE):
        for column in range(SIZE):
            centre = torch.tensor([column + 0.5, row + 0.5], dtype=torch.float64)
            squared = (xy - centre).square().sum(1)
            near = [n for n in range(len(xy)) if squared[n] <= RADIUS**2 and depth[n] > 0]
            left = 1.0
            for n in sorted(near, key=lambda n: float(depth[n]))[:NEAREST]:
                alpha = 1 - float((0.1 * squared[n] / RADIUS**2).clamp(1e-3, 1).sqrt())
                picture[:, row, column] += left * alpha * descriptors[n]
                left *= 1 - alpha
            picture[:, row, column] += left * background
    return picture


def test_pictures_are_those_of_the_slow_reference() -> None:
    xy, depth, descriptors = scattered()
    background = torch.tensor([1.0, 0.5, 0.0, -1.0], dtype=torch.float64)
    splats = splat(xy, depth, size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    torch.testing.assert_close(draw(descriptors, background, splats), slowly(xy, depth, descriptors, background))


def test_gradients_are_finite_differences_and_not_zero() -> None:
    xy, depth, descriptors = scattered(12)
    splats = splat(xy, depth, size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    background = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    descriptors.requires_grad_()
    assert torch.autograd.gradcheck(lambda d, b: draw(d, b, splats), (descriptors, background))
    (gradient,) = torch.autograd.grad(draw(descriptors, background, splats).sum(), descriptors)
    assert float(gradient[0].abs().max()) == 0  # behind the camera
    assert float(gradient[1:].abs().max()) > 0.5


def test_nearer_points_hide_farther_ones() -> None:
    xy = torch.tensor([[4.5, 4.5], [4.5, 4.5]])
    descriptors = torch.eye(2)
    for depths, front in ([1.0, 2.0], 0), ([2.0, 1.0], 1):
        splats = splat(xy, torch.tensor(depths), size=SIZE, radius_px=1.0, nearest=2)
        pixel = draw(descriptors, torch.zeros(2), splats)[:, 4, 4]
        assert float(pixel[front]) > 0.96
        assert float(pixel[1 - front]) < 0.04


def test_coverage_is_what_hides_the_background() -> None:
    xy, depth, descriptors = scattered()
    splats = splat(xy, depth, size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    behind = draw(descriptors * 0, torch.ones(4, dtype=torch.float64), splats)[0]
    torch.testing.assert_close(coverage(splats), 1 - behind)
    empty = splat(xy[:1], depth[:1], size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    assert float(coverage(empty).abs().max()) == 0


def test_every_scale_shows_the_same_points() -> None:
    xyz = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    xyz *= 0.6 / np.linalg.norm(xyz, axis=1, keepdims=True)
    viewpoint = Viewpoint(azimuth_deg=0, elevation_deg=20, c2w_44=orbit_c2w(0, 20)[0])
    scales = splat_scales(xyz, viewpoint, size=64, radius_px=1.5, nearest=4, device="cpu")
    assert [s.size for s in scales] == [64 // k for k in SCALES]
    shares = [float(coverage(s).mean()) for s in scales]
    assert max(shares) < 1.25 * min(shares)
    assert min(shares) > 0.1


@pytest.mark.parametrize("wrong", [{"size": 0}, {"radius_px": 0.0}, {"nearest": 0}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    xy, depth, _ = scattered()
    with pytest.raises(ConfigError, match="must be positive"):
        splat(xy, depth, **{"size": SIZE, "radius_px": RADIUS, "nearest": NEAREST, **wrong})  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_draws_the_same() -> None:
    xy, depth, descriptors = scattered()
    background = torch.zeros(4, dtype=torch.float64)
    here = splat(xy, depth, size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    there: Splats = splat(xy.cuda(), depth.cuda(), size=SIZE, radius_px=RADIUS, nearest=NEAREST)
    got = draw(descriptors.cuda(), background.cuda(), there).cpu()
    torch.testing.assert_close(got, draw(descriptors, background, here))
