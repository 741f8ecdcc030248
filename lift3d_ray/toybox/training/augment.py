"""Random changes that bring procedural pictures nearer to photographs: framing, colour, softness, noise.

Shape suffixes: B pictures, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def reframe(
    rgb_B3HW: Tensor, labels_BHW: Tensor, rng: np.random.Generator, *, closest: float = 0.65
) -> tuple[Tensor, Tensor, Tensor]:
    """A random rectangle of each picture, maybe mirrored, scaled until its longest side fills the square.

    Args:
        rgb_B3HW: (B, 3, S, S) float.
        labels_BHW: (B, S, S) int64, sampled without mixing.
        rng: source of the rectangles.
        closest: smallest longest side of a rectangle, as a fraction of S.

    Returns:
        the pictures, their labels (0 outside the rectangle) and where there is picture, (B, S, S) float in {0, 1}:
        a rectangle that is not square leaves the right or the lower part empty, as ``Sam.preprocess`` does.
    """
    batch, _, size, _ = rgb_B3HW.shape
    longest = rng.uniform(closest, 1.0, batch)
    longest[rng.random(batch) < 0.35] = 1.0
    aspect = np.where(rng.random(batch) < 0.5, 1.0, rng.uniform(0.55, 1.0, batch))
    wide = rng.random(batch) < 0.5
    width, height = longest * np.where(wide, 1.0, aspect), longest * np.where(wide, aspect, 1.0)
    left, top = rng.uniform(0, 1, batch) * (1 - width), rng.uniform(0, 1, batch) * (1 - height)
    flip = rng.random(batch) < 0.5
    axis = (np.arange(size) + 0.5) / size
    across = np.where(flip[:, None], width[:, None] - axis * longest[:, None], axis * longest[:, None])
    x, y = left[:, None] + across, top[:, None] + axis * longest[:, None]
    shown_x = axis * longest[:, None] < width[:, None]
    shown_y = axis * longest[:, None] < height[:, None]
    shown = torch.from_numpy((shown_y[:, :, None] & shown_x[:, None, :]).astype(np.float32))
    grid = np.stack(np.broadcast_arrays((2 * x - 1)[:, None, :], (2 * y - 1)[:, :, None]), axis=-1)
    grid_BHW2 = torch.from_numpy(grid.astype(np.float32))
    rgb = F.grid_sample(rgb_B3HW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(labels_BHW[:, None].float(), grid_BHW2, mode="nearest", align_corners=False)
    return rgb, (labels[:, 0] * shown).long(), shown


def recolor(rgb_B3HW: Tensor, rng: np.random.Generator) -> Tensor:
    """Exposure, contrast, tint, gamma, greyness, softness and grain, each mild and each on some pictures only.

    Args:
        rgb_B3HW: (B, 3, H, W) float in [0, 1].
        rng: source of the amounts.

    Returns:
        pictures of the same shape and range.
    """
    batch = len(rgb_B3HW)
    gain = _amounts(rng, (batch, 3), 0.0, 0.12) + _amounts(rng, (batch, 1), 0.0, 0.15)
    gamma = np.exp(_amounts(rng, (batch, 1), 0.0, 0.25))
    colour = torch.from_numpy((1 + gain).astype(np.float32))[:, :, None, None]
    power = torch.from_numpy(gamma.astype(np.float32))[:, :, None, None]
    changed = (rgb_B3HW * colour).clamp(1e-4, 1) ** power
    grey_part = np.where(rng.random(batch) < 0.25, rng.uniform(0, 1, batch), 0.0).astype(np.float32)
    mix = torch.from_numpy(grey_part)[:, None, None, None]
    changed = changed * (1 - mix) + changed.mean(1, keepdim=True) * mix
    soft = torch.from_numpy(rng.random(batch) < 0.25)[:, None, None, None]
    changed = torch.where(soft, F.avg_pool2d(F.pad(changed, (1, 1, 1, 1), mode="replicate"), 3, stride=1), changed)
    grain = np.where(rng.random(batch) < 0.5, rng.uniform(0, 0.05, batch), 0.0).astype(np.float32)
    noise = torch.from_numpy(rng.standard_normal(changed.shape, dtype=np.float32))
    changed = (changed + noise * torch.from_numpy(grain)[:, None, None, None]).clamp(0, 1)
    plain = torch.from_numpy(rng.random(batch) < 0.25)[:, None, None, None]
    return torch.where(plain, rgb_B3HW, changed)


def _amounts(rng: np.random.Generator, shape: tuple[int, int], mean: float, spread: float) -> np.ndarray:
    return np.clip(rng.normal(mean, spread, shape), -2.5 * spread, 2.5 * spread)
