"""The denoiser: the published names and shapes, and a set in, a set out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lift3d_ray.errors import ConfigError
from lift3d_ray.models.point_e.transformer import (
    Condition,
    PointTransformer,
    PointTransformerConfig,
    timestep_embedding,
)

SMALL = PointTransformerConfig(width=16, layers=2, heads=2, points=8, condition_width=10, condition_tokens=4)


def network(config: PointTransformerConfig = SMALL) -> PointTransformer:
    """Random weights throughout: a fresh network answers zero."""
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        built = PointTransformer(config).eval().requires_grad_(False)
        for value in built.parameters():
            value.normal_(std=0.3)
    return built


def inputs(points: int = 8, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 6, points, generator=draws),
        torch.linspace(3, 900, batch),
        torch.randn(batch, 4, 10, generator=draws),
    )


def test_a_fresh_network_says_nothing() -> None:
    answer = PointTransformer(SMALL)(*inputs())
    assert answer.shape == (2, 12, 8)
    assert not answer.any()


def test_points_are_a_set_of_any_size() -> None:
    x, t, tokens = inputs(points=20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    straight, shuffled = network()(x, t, tokens), network()(x[..., order], t, tokens)
    torch.testing.assert_close(shuffled, straight[..., order], atol=1e-4, rtol=1e-4)


def test_clouds_of_a_batch_do_not_mix() -> None:
    x, t, tokens = inputs()
    torch.testing.assert_close(network()(x, t, tokens)[1:], network()(x[1:], t[1:], tokens[1:]), atol=1e-5, rtol=1e-4)


def test_time_and_picture_are_heard_and_no_picture_is_zeros() -> None:
    x, t, tokens = inputs()
    answer = network()(x, t, tokens)
    assert (answer - network()(x, t + 100, tokens)).abs().max() > 1e-3
    assert (answer - network()(x, t, -tokens)).abs().max() > 1e-3
    torch.testing.assert_close(network()(x, t), network()(x, t, torch.zeros_like(tokens)))


def test_heads_lie_one_after_another_in_the_published_rows() -> None:
    block: Any = network().backbone.resblocks[0]
    h = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(3))
    qkv = block.attn.c_qkv(h)[0]
    mixed = []
    for head in range(2):
        q, k, v = qkv[:, head * 24 : (head + 1) * 24].split(8, dim=1)
        mixed.append(torch.softmax(q @ k.T / math.sqrt(8), dim=1) @ v)
    wanted = block.attn.c_proj(torch.cat(mixed, dim=1))
    torch.testing.assert_close(block.attn(h)[0], wanted, atol=1e-4, rtol=1e-4)


def test_an_upsampler_sees_its_points_in_the_units_of_the_data() -> None:
    config = PointTransformerConfig(
        width=16,
        layers=1,
        heads=2,
        points=8,
        condition_width=10,
        condition_tokens=4,
        low_res_points=3,
        channel_scales=(2.0, 2.0, 2.0, 0.01, 0.01, 0.01),
        channel_biases=(0.0, 0.0, 0.0, -1.0, -1.0, -1.0),
    )
    x, t, tokens = inputs()
    low = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(4))
    upsampler = network(config)
    answer = upsampler(x, t, tokens, low)
    assert answer.shape == (2, 12, 8)
    assert (answer - upsampler(x, t, tokens, low.flip(0))).abs().max() > 1e-4
    assert upsampler.channel_scales is not None
    upsampler.channel_scales, low = upsampler.channel_scales / 2, low * 2
    torch.testing.assert_close(upsampler(x, t, tokens, low), answer)
    with pytest.raises(ConfigError, match="low-resolution points"):
        upsampler(x, t, tokens)
    with pytest.raises(ConfigError, match="takes none"):
        network()(x, t, tokens, low)


def test_a_vector_is_brought_to_unit_variance() -> None:
    config = PointTransformerConfig(
        width=16, layers=1, heads=2, points=8, condition=Condition.VECTOR, condition_width=10, condition_tokens=1
    )
    vector = network(config)
    seen: list[Tensor] = []
    vector.clip_embed.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    unit = torch.nn.functional.normalize(torch.ones(2, 1, 10), dim=-1)
    vector(*inputs()[:2], unit)
    torch.testing.assert_close(seen[0], torch.ones(2, 1, 10))


def test_tokens_of_another_encoder_are_refused() -> None:
    x, t, _ = inputs()
    with pytest.raises(ConfigError, match="width 10"):
        network()(x, t, torch.zeros(2, 4, 11))


def test_nonsense_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=">= 1"):
        PointTransformerConfig(layers=0)
    with pytest.raises(ConfigError, match="multiple of heads"):
        PointTransformerConfig(width=20, heads=8)
    with pytest.raises(ConfigError, match="channel_scales"):
        PointTransformerConfig(low_res_points=4)


def test_timesteps_become_cosines_and_sines() -> None:
    embedded = timestep_embedding(torch.tensor([0.0, 10.5]), 4)
    wanted = [math.cos(10.5), math.cos(0.105), math.sin(10.5), math.sin(0.105)]
    torch.testing.assert_close(embedded, torch.tensor([[1.0, 1.0, 0.0, 0.0], wanted]))
