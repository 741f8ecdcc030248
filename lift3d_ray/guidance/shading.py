"""Novel views under another light, or without their paint: form that is only painted on is found out.

A share of the views is lit by a lamp near the camera, and some of those lose their colour (DreamFusion: Poole et al.
2022, section 3.1; Make-It-3D). Pixels are shaded, not samples: by the normal where their ray ends.

Shape suffixes: B views, N rays, P rays of one view.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

LEAST_LIGHT = 0.1
"""A surface turned away from the lamp still gets this share of it."""


class Finish(IntEnum):
    """How a view is shown."""

    ALBEDO = 0
    LAMBERTIAN = 1
    TEXTURELESS = 2


def draw_finishes(chances: tuple[float, float, float], count: int, generator: torch.Generator) -> Tensor:
    """(B,) int64 ``Finish`` of so many views, drawn on the CPU.

    Args:
        chances: of each finish, in the order of ``Finish``.
        count: B.
        generator: of the draws.
    """
    return torch.multinomial(torch.tensor(chances), count, replacement=True, generator=generator)


def draw_lamps(eyes_B3: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3) unit directions towards lamps near the cameras, drawn on the CPU.

    Make-It-3D adds N(0, 1) to a camera at distance 1 to 1.5; so the noise here is in units of the camera's distance.

    Args:
        eyes_B3: (B, 3) camera positions; the subject lies at the origin.
        generator: of the draws.
    """
    noise_B3 = torch.randn(eyes_B3.shape, generator=generator).to(eyes_B3)
    return torch.nn.functional.normalize(torch.nn.functional.normalize(eyes_B3, dim=-1) + noise_B3, dim=-1)


def lambertian(normals_N3: Tensor, lamps_N3: Tensor, ambient: float) -> Tensor:
    """(N,) light on a surface, ``a + (1 - a) max(n . l, 0.1)``.

    Args:
        normals_N3: (N, 3) outward unit normals.
        lamps_N3: (N, 3) unit directions towards the lamp.
        ambient: a, light from everywhere, in [0, 1].
    """
    return ambient + (1 - ambient) * (normals_N3 * lamps_N3).sum(-1).clamp_min(LEAST_LIGHT)


def shaded(
    rgb_BP3: Tensor, opacity_BP: Tensor, light_BP: Tensor, finishes_B: Tensor, *, background: float = 1.0
) -> Tensor:
    """Pictures as their finishes show them.

    Args:
        rgb_BP3: (B, P, 3) colours in [0, 1] over the background.
        opacity_BP: (B, P) in [0, 1].
        light_BP: (B, P) from ``lambertian``.
        finishes_B: (B,) ``Finish`` of each view.
        background: grey behind the subject; no lamp shines on it.

    Returns:
        (B, P, 3) over the same background; differentiable in colours, opacities and light.
    """
    behind_BP1 = (background * (1 - opacity_BP))[..., None]
    paint_BP3 = rgb_BP3 - behind_BP1
    finish_B11 = finishes_B.to(rgb_BP3.device)[:, None, None]
    paint_BP3 = torch.where(finish_B11 == Finish.TEXTURELESS, opacity_BP[..., None], paint_BP3)
    light_BP1 = torch.where(finish_B11 == Finish.ALBEDO, 1.0, light_BP[..., None])
    return paint_BP3 * light_BP1 + behind_BP1
