import pytest
import torch

from lift3d_ray.cameras import orbit_c2w, pixel_rays
from lift3d_ray.errors import ConfigError
from lift3d_ray.field.rays import BALL_RADIUS, CUBE, Box, field_interval, sample_rays


def camera_rays(size: int = 12, azimuth: float = 35.0, elevation: float = 20.0) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = pixel_rays(orbit_c2w(azimuth, elevation), size)
    return torch.from_numpy(origins).reshape(-1, 3).double(), torch.from_numpy(directions).reshape(-1, 3).double()


def is_inside(points: torch.Tensor) -> torch.Tensor:
    in_ball: torch.Tensor = points.norm(dim=-1) <= BALL_RADIUS
    return in_ball & (points.abs().amax(-1) <= 1)


def test_the_interval_is_where_brute_force_finds_the_field() -> None:
    origins, directions = camera_rays()
    near, far = field_interval(origins, directions)
    t = torch.linspace(0, 8, 8001, dtype=torch.float64)
    inside = is_inside(origins[:, None] + t[:, None] * directions[:, None])
    hit = inside.any(-1)
    assert torch.equal(hit, (far - near) > 1e-3)
    first = t[inside.double().argmax(-1)]
    last = t[len(t) - 1 - inside.flip(-1).double().argmax(-1)]
    assert torch.allclose(near[hit], first[hit], atol=2e-3)
    assert torch.allclose(far[hit], last[hit], atol=2e-3)


def test_a_ray_along_an_axis_meets_the_cube_s_face_not_the_ball() -> None:
    near, far = field_interval(torch.tensor([[0.0, 0.0, 3.2]]), torch.tensor([[0.0, 0.0, -1.0]]))
    assert near.item() == pytest.approx(2.2)
    assert far.item() == pytest.approx(4.2)


def test_rays_that_miss_or_point_away_have_no_interval() -> None:
    origins = torch.tensor([[0.0, 0.0, 3.2], [0.0, 2.0, 3.2]])
    directions = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    near, far = field_interval(origins, directions)
    assert (far <= near).all()


def test_an_origin_inside_starts_at_zero() -> None:
    near, far = field_interval(torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]]))
    assert near.item() == 0.0
    assert far.item() == pytest.approx(1.0)


def test_steps_have_one_world_length_whatever_the_direction_s_length() -> None:
    origins, directions = camera_rays()
    samples = sample_rays(origins, directions, n_samples=20)
    points = origins[samples.rays_H, None] + samples.t_HK[..., None] * directions[samples.rays_H, None]
    gaps = (points[:, 1:] - points[:, :-1]).norm(dim=-1)
    assert torch.allclose(gaps, torch.full_like(gaps, samples.step))
    assert samples.step == pytest.approx(2 * BALL_RADIUS / 20)
    assert is_inside(points[samples.valid_HK]).all()


def test_valid_samples_cover_the_interval() -> None:
    origins, directions = camera_rays()
    near, far = field_interval(origins, directions)
    samples = sample_rays(origins, directions, n_samples=40)
    dt = samples.step / directions.norm(dim=-1)
    covered = torch.zeros_like(near)
    covered[samples.rays_H] = samples.valid_HK.sum(-1) * dt[samples.rays_H]
    assert ((covered - (far - near).clamp_min(0)).abs() <= 0.51 * dt).all()


@pytest.mark.parametrize("seed", [None, 5])
def test_a_smaller_box_leaves_samples_out_and_moves_none(seed: int | None) -> None:
    origins, directions = camera_rays()
    box = ((-0.3, -0.1, -0.5), (0.6, 0.4, 0.2))

    def points(box: Box) -> torch.Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        samples = sample_rays(origins, directions, n_samples=24, box=box, generator=generator)
        every = origins[samples.rays_H, None] + samples.t_HK[..., None] * directions[samples.rays_H, None]
        return every[samples.valid_HK]

    everywhere = points(CUBE)
    low, high = (torch.tensor(corner, dtype=torch.float64) for corner in box)
    expected = everywhere[((everywhere > low) & (everywhere < high)).all(-1)]
    assert len(expected) > 50
    assert torch.allclose(points(box), expected)


def test_jitter_stays_in_its_step_and_repeats_with_its_seed() -> None:
    origins, directions = camera_rays()
    drawn = [
        sample_rays(origins, directions, n_samples=16, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(drawn[0].t_HK, drawn[1].t_HK)
    near, _ = field_interval(origins, directions)
    for samples in drawn:
        dt = samples.step / directions[samples.rays_H].norm(dim=-1)
        offset = (samples.t_HK[:, 0] - near[samples.rays_H]) / dt
        assert ((offset >= 0) & (offset <= 1)).all()
        assert offset.std() > 0.2
    assert not torch.equal(drawn[0].t_HK[0], drawn[2].t_HK[0])


def test_a_box_that_no_ray_meets_gives_no_samples() -> None:
    origins, directions = camera_rays()
    samples = sample_rays(origins, directions, n_samples=8, box=((3.0, 3.0, 3.0), (2.0, 2.0, 2.0)))
    assert samples.t_HK.shape == (0, 0)


def test_no_samples_is_refused() -> None:
    origins, directions = camera_rays(2)
    with pytest.raises(ConfigError, match="n_samples"):
        sample_rays(origins, directions, n_samples=0)
