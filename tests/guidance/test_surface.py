"""Losses of the surface's form, and its pictures under a lamp: values, and what density and colour learn of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.field.normals import normals_at, slopes
from lift3d_ray.field.render import RenderedRays, render_rays
from lift3d_ray.field.visible import visible_samples
from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance.normal_smoothness import normal_smoothness, steps_aside
from lift3d_ray.guidance.orientation import orientation
from lift3d_ray.guidance.shading import Finish, draw_finishes, draw_lamps, lambertian, shaded
from tests.fields import against_finite_differences

SIDE = 10
SAMPLES = 24


def rough_ball(resolution: int = 10) -> VoxelField:
    """A soft ball with noise on it, so that some of its surface turns away from whoever looks."""
    axis = torch.linspace(-1, 1, resolution, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    noise = torch.rand(*xyz.shape[:3], 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    raw = 2 * (0.6 - xyz.norm(dim=-1, keepdim=True)) + 1.5 * (noise - 0.5)
    return VoxelField(torch.cat([raw, xyz], dim=-1).reshape(-1, 4))


def rays() -> tuple[Tensor, Tensor]:
    origins, directions = pixel_rays(orbit_c2w(30.0, 20.0), SIDE)
    return torch.from_numpy(origins).reshape(-1, 3).double(), torch.from_numpy(directions).reshape(-1, 3).double()


def rendered(field: VoxelField) -> RenderedRays:
    return render_rays(field, *rays(), n_samples=SAMPLES, sharpness=4.0, background=torch.ones(3, dtype=torch.float64))


SEEN = visible_samples(rendered(rough_ball()), *rays())
"""Where the samples lie counts as a constant, and so do their weights: the losses below hold both fixed."""


def orientation_of(field: VoxelField) -> Tensor:
    normals = normals_at(slopes(field), SEEN.xyz_S3)
    return orientation(normals, SEEN.directions_S3, SEEN.weight_S, SIDE**2)


def smoothness_of(field: VoxelField) -> Tensor:
    aside = steps_aside(SEEN.xyz_S3, field.voxel, torch.Generator().manual_seed(1))
    slopes_V3 = slopes(field)
    return normal_smoothness(
        normals_at(slopes_V3, SEEN.xyz_S3), normals_at(slopes_V3, aside), SEEN.weight_S, SIDE**2
    )


def lit_picture(field: VoxelField, finish: Finish) -> Tensor:
    out = rendered(field)
    origins, directions = rays()
    # Where the pixels are is a constant, as in the loop.
    depth = rendered(rough_ball()).depth_N.detach()
    normals = normals_at(slopes(field), origins + depth[:, None] * directions)
    lamp = torch.nn.functional.normalize(torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64), dim=0)
    light = lambertian(normals, lamp.expand_as(normals), 0.1)
    return shaded(out.rgb_N3[None], out.opacity_N[None], light[None], torch.tensor([finish]))[0]


@pytest.mark.parametrize(
    ("loss", "colored"),
    [
        (orientation_of, False),
        (smoothness_of, False),
        (lambda field: lit_picture(field, Finish.LAMBERTIAN).square().sum(), True),
        (lambda field: lit_picture(field, Finish.TEXTURELESS).square().sum(), False),
    ],
    ids=["orientation", "normal smoothness", "lambertian", "textureless"],
)
def test_gradients_reach_density_and_are_finite_differences(
    loss: Callable[[VoxelField], Tensor], colored: bool
) -> None:
    gradient = against_finite_differences(loss, rough_ball())
    assert float(gradient[:, 0].abs().max()) > 1e-4
    assert bool(gradient[:, 1:].abs().max() > 1e-4) is colored


def test_only_what_turns_away_pays() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    looking = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)
    assert orientation(normals, looking, torch.ones(3), 1).item() == 1.0
    assert orientation(normals[[0, 2]], looking[:2], torch.ones(2), 1).item() == 0.0
    assert orientation(normals, looking, torch.tensor([1.0, 0.5, 1.0]), 5).item() == pytest.approx(0.1)


def test_the_weight_learns_nothing_from_form() -> None:
    weight = torch.ones(2, requires_grad=True)
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], requires_grad=True)
    (orientation(normals, normals.detach(), weight, 2) + normal_smoothness(normals, -normals, weight, 2)).backward()
    assert weight.grad is None
    assert normals.grad is not None


def test_a_ball_is_smooth_and_the_rough_one_is_not() -> None:
    axis = torch.linspace(-1, 1, 10, dtype=torch.float64)
    xyz = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    ball = torch.cat([2 * (0.6 - xyz.norm(dim=-1, keepdim=True)), xyz], dim=-1)
    smooth = VoxelField(ball.reshape(-1, 4))
    assert smoothness_of(smooth) < 0.6 * smoothness_of(rough_ball())
    assert orientation_of(smooth) < 0.5 * orientation_of(rough_ball())


def test_steps_aside_have_the_length_asked_for_and_follow_the_seed() -> None:
    points = torch.zeros(4000, 3, dtype=torch.float64)
    one, two = (steps_aside(points, 0.05, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.std().item() == pytest.approx(0.05, rel=0.05)


def test_finishes_show_paint_light_or_form_alone() -> None:
    rgb = torch.tensor([[[0.2, 0.4, 0.6], [0.6, 0.7, 0.8]]]).expand(3, 2, 3)
    opacity, light = torch.tensor([[1.0, 0.5]]).expand(3, 2), torch.tensor([[0.5, 0.5]]).expand(3, 2)
    paint, lit, bare = shaded(rgb, opacity, light, torch.tensor(list(Finish)))
    torch.testing.assert_close(paint, rgb[0])
    # The half-covered pixel keeps its white: 0.5 + 0.5 * (rgb - 0.5).
    torch.testing.assert_close(lit, torch.tensor([[0.1, 0.2, 0.3], [0.55, 0.6, 0.65]]))
    torch.testing.assert_close(bare, torch.tensor([[0.5, 0.5, 0.5], [0.75, 0.75, 0.75]]))


def test_light_falls_off_to_a_floor() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    lamp = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    assert lambertian(normals, lamp, 0.1).tolist() == pytest.approx([1.0, 0.19, 0.19])


def test_lamps_are_about_the_camera_and_finishes_as_likely_as_said() -> None:
    generator = torch.Generator().manual_seed(0)
    eyes = torch.tensor([[0.0, 0.0, 3.2]]).expand(4000, 3)
    lamps = draw_lamps(eyes, generator)
    torch.testing.assert_close(lamps.norm(dim=-1), torch.ones(4000))
    middle = torch.nn.functional.normalize(lamps.mean(0), dim=0)
    assert middle[2].item() > 0.99
    assert lamps[:, 2].std().item() > 0.1
    drawn = draw_finishes((0.5, 0.4, 0.1), 4000, generator)
    shares = torch.bincount(drawn, minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.4, 0.1]), atol=0.03, rtol=0)
