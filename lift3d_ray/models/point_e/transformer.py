"""Point-E's denoiser: a transformer over points, a time token and picture tokens (Nichol et al. 2022, section 4).

Names and shapes of the parameters are those of the published checkpoints, which therefore load strictly. There are no
positional encodings: points are a set, and the same weights take any number of them.

Shape suffixes: B clouds, N points, C channels, T picture tokens, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from lift3d_ray.errors import ConfigError

CHANNELS = 6
"""x, y, z, red, green, blue."""
_MAX_PERIOD = 10_000


class Condition(StrEnum):
    """What a network is told of the picture."""

    NONE = "none"
    VECTOR = "vector"
    GRID = "grid"


@dataclass(frozen=True, kw_only=True)
class PointTransformerConfig:
    """Sizes of a denoiser; the defaults are those of the published base40M.

    Attributes:
        width: of the tokens.
        layers: residual blocks.
        heads: of the attention.
        points: how many it was trained to draw (published: ``n_ctx``).
        condition: none, one vector of length 1, or a grid of tokens.
        condition_width: of that vector or of those tokens.
        condition_tokens: how many tokens the grid has.
        low_res_points: how many points an upsampler starts from; 0 = it is no upsampler.
        channel_scales: what an upsampler multiplies those points' channels by ...
        channel_biases: ... and what it adds.
        init_scale: of the initial weights.
    """

    width: int = 512
    layers: int = 12
    heads: int = 8
    points: int = 1024
    condition: Condition = Condition.GRID
    condition_width: int = 1024
    condition_tokens: int = 256
    low_res_points: int = 0
    channel_scales: tuple[float, ...] = ()
    channel_biases: tuple[float, ...] = ()
    init_scale: float = 0.25

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.points, self.condition_width, self.condition_tokens) < 1:
            raise ConfigError(f"sizes of a point transformer must be >= 1, got {self}")
        if self.width % (2 * self.heads):
            raise ConfigError(f"width must be an even multiple of heads, got {self.width} and {self.heads}")
        for name in ("channel_scales", "channel_biases"):
            if len(getattr(self, name)) != (CHANNELS if self.low_res_points else 0):
                raise ConfigError(
                    f"an upsampler needs {CHANNELS} {name} and any other network none, got {getattr(self, name)}"
                )


class PointTransformer(nn.Module):
    """Predicts the noise in a cloud, and how uncertain the step before it is.

    Args:
        config: its sizes.
        device: torch device of the fresh weights.
        dtype: their precision.
    """

    channel_scales: Tensor | None
    channel_biases: Tensor | None

    def __init__(
        self,
        config: PointTransformerConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.config = config
        width = config.width
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        spread = config.init_scale / math.sqrt(width)
        self.time_embed = _Mlp(width, spread, device=device, dtype=dtype)
        self.ln_pre = nn.LayerNorm(width, **place)
        self.backbone = _Backbone(config, spread, device=device, dtype=dtype)
        self.ln_post = nn.LayerNorm(width, **place)
        self.input_proj = nn.Linear(CHANNELS, width, **place)
        self.output_proj = nn.Linear(width, 2 * CHANNELS, **place)
        nn.init.zeros_(self.output_proj.weight)
        nn.init.zeros_(self.output_proj.bias)
        if config.condition is Condition.VECTOR:
            self.clip_embed: nn.Module = nn.Linear(config.condition_width, width, **place)
        if config.condition is Condition.GRID:
            self.clip_embed = nn.Sequential(
                nn.LayerNorm(config.condition_width, **place), nn.Linear(config.condition_width, width, **place)
            )
        if config.low_res_points:
            self.cond_point_proj = nn.Linear(CHANNELS, width, **place)
            self.register_buffer("channel_scales", torch.tensor(config.channel_scales, **place))
            self.register_buffer("channel_biases", torch.tensor(config.channel_biases, **place))

    def forward(
        self,
        x_BCN: Tensor,
        timesteps_B: Tensor,
        condition_BTD: Tensor | None = None,
        low_res_BCM: Tensor | None = None,
    ) -> Tensor:
        """Noise and variance of noised clouds.

        Args:
            x_BCN: (B, 6, N) noised clouds, channels scaled as the diffusion says.
            timesteps_B: (B,) where in the schedule they are; may lie between two steps.
            condition_BTD: (B, T, D) picture tokens, or (B, 1, D) unit vectors; zeros or None = not told.
            low_res_BCM: (B, 6, M) an upsampler's points, in the data's own units.

        Returns:
            (B, 12, N): the noise, then the share of the larger bound in the log variance, in [-1, 1].

        Raises:
            ConfigError: an upsampler without points, or points for another network.
        """
        if (low_res_BCM is not None) != bool(self.config.low_res_points):
            raise ConfigError("an upsampler needs low-resolution points and any other network takes none")
        points_BND = self.input_proj(x_BCN.transpose(1, 2))
        time_BD = self.time_embed(timestep_embedding(timesteps_B, self.config.width).to(points_BND.dtype))
        tokens = [time_BD[:, None]]
        if self.config.condition is not Condition.NONE:
            tokens.append(self._condition(condition_BTD, points_BND))
        if low_res_BCM is not None:
            tokens.append(self._low_res(low_res_BCM))
        h_BTD = self.ln_pre(torch.cat([*tokens, points_BND], dim=1))
        h_BTD = self.ln_post(self.backbone(h_BTD))
        answer: Tensor = self.output_proj(h_BTD[:, -x_BCN.shape[-1] :])
        return answer.transpose(1, 2)

    def _condition(self, condition_BTD: Tensor | None, like_BND: Tensor) -> Tensor:
        config = self.config
        if condition_BTD is None:
            condition_BTD = like_BND.new_zeros(len(like_BND), config.condition_tokens, config.condition_width)
        if condition_BTD.shape[-1] != config.condition_width:
            raise ConfigError(
                f"this network knows pictures by tokens of width {config.condition_width}, got "
                f"{tuple(condition_BTD.shape)}: use the picture encoder that it was trained with"
            )
        if config.condition is Condition.VECTOR:
            # Unit vectors to unit variance.
            condition_BTD = condition_BTD * math.sqrt(config.condition_width)
        embedded: Tensor = self.clip_embed(condition_BTD)
        return embedded

    def _low_res(self, low_res_BCM: Tensor) -> Tensor:
        assert self.channel_scales is not None
        assert self.channel_biases is not None
        scaled = low_res_BCM * self.channel_scales[:, None] + self.channel_biases[:, None]
        embedded: Tensor = self.cond_point_proj(scaled.transpose(1, 2))
        return embedded


class _Backbone(nn.Module):
    def __init__(
        self, config: PointTransformerConfig, spread: float, *, device: torch.device | str | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            _Block(config.width, config.heads, spread, device=device, dtype=dtype) for _ in range(config.layers)
        )

    def forward(self, h_BTD: Tensor) -> Tensor:
        for block in self.resblocks:
            h_BTD = block(h_BTD)
        return h_BTD


class _Block(nn.Module):
    def __init__(
        self, width: int, heads: int, spread: float, *, device: torch.device | str | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.attn = _Attention(width, heads, spread, device=device, dtype=dtype)
        self.ln_1 = nn.LayerNorm(width, device=device, dtype=dtype)
        self.mlp = _Mlp(width, spread, device=device, dtype=dtype)
        self.ln_2 = nn.LayerNorm(width, device=device, dtype=dtype)

    def forward(self, h_BTD: Tensor) -> Tensor:
        h_BTD = h_BTD + self.attn(self.ln_1(h_BTD))
        mixed: Tensor = h_BTD + self.mlp(self.ln_2(h_BTD))
        return mixed


class _Attention(nn.Module):
    def __init__(
        self, width: int, heads: int, spread: float, *, device: torch.device | str | None, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self._heads = heads
        self.c_qkv = _linear(width, 3 * width, spread, device=device, dtype=dtype)
        self.c_proj = _linear(width, width, spread, device=device, dtype=dtype)

    def forward(self, h_BTD: Tensor) -> Tensor:
        batch, length, width = h_BTD.shape
        # The published rows go head by head: query, key and value of the first head, then of the second.
        q, k, v = self.c_qkv(h_BTD).view(batch, length, self._heads, -1).transpose(1, 2).chunk(3, dim=-1)
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        projected: Tensor = self.c_proj(mixed)
        return projected


class _Mlp(nn.Module):
    def __init__(self, width: int, spread: float, *, device: torch.device | str | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.c_fc = _linear(width, 4 * width, spread, device=device, dtype=dtype)
        self.c_proj = _linear(4 * width, width, spread, device=device, dtype=dtype)

    def forward(self, h: Tensor) -> Tensor:
        mixed: Tensor = self.c_proj(gelu(self.c_fc(h)))
        return mixed


def _linear(
    inside: int, outside: int, spread: float, *, device: torch.device | str | None, dtype: torch.dtype
) -> nn.Linear:
    layer = nn.Linear(inside, outside, device=device, dtype=dtype)
    nn.init.normal_(layer.weight, std=spread)
    nn.init.zeros_(layer.bias)
    return layer


def timestep_embedding(timesteps_B: Tensor, width: int) -> Tensor:
    """(B, width) float32 cosines, then sines, of (B,) timesteps (Vaswani et al. 2017); ``width`` even."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps_B.device)
    angles = timesteps_B.float()[:, None] * torch.exp(-math.log(_MAX_PERIOD) / half * steps)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
