"""The deferred renderer: it starts from the points' own colours, and learns."""

from __future__ import annotations

import torch
from torch import Tensor

from lift3d_ray.refine.renderer import DeferredRenderer

CHANNELS = 7


def drawn(pictures: int = 2, size: int = 16, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(pictures, CHANNELS, size // k, size // k, generator=generator) for k in (1, 2, 4)]


def renderer(seed: int = 0) -> DeferredRenderer:
    return DeferredRenderer(CHANNELS, width=8, generator=torch.Generator().manual_seed(seed))


def test_it_starts_from_the_points_own_colours() -> None:
    rasters = drawn()
    assert torch.equal(renderer()(rasters), rasters[0][:, :3])


def test_every_weight_and_every_scale_learns() -> None:
    network, rasters = renderer(), [r.requires_grad_() for r in drawn()]
    with torch.no_grad():
        network.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    network(rasters).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())
    assert all(r.grad is not None and float(r.grad[:, 3:].abs().max()) > 0 for r in rasters)


def test_a_first_step_leaves_the_start() -> None:
    network, rasters = renderer(), drawn()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    wanted = 1 - rasters[0][:, :3]
    errors = []
    for _ in range(30):
        error = (network(rasters) - wanted).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.8 * errors[0]


def test_pictures_of_a_batch_do_not_mix() -> None:
    network, rasters = renderer(), drawn(3)
    with torch.no_grad():
        network.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    together = network(rasters)
    alone = network.eval()([r[1:2] for r in rasters])
    torch.testing.assert_close(together[1:2], alone)


def test_weights_follow_the_generator() -> None:
    one, same, other = renderer(1), renderer(1), renderer(2)
    assert torch.equal(one.top.feature.weight, same.top.feature.weight)
    assert not torch.equal(one.top.feature.weight, other.top.feature.weight)
