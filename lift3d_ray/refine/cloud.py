"""The points that are refined, and how they are drawn.

The viewpoints are fixed, so what each of them sees is found once; a picture draws descriptors, not geometry.

Shape suffixes: V viewpoints, B of them drawn together, N points, D learnt channels, S picture side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.recipes import RefineConfig
from lift3d_ray.refine.occlusion import Viewpoint
from lift3d_ray.refine.points import TexturedPoints
from lift3d_ray.refine.rasterize import SCALES, coverage, draw, splat_scales
from lift3d_ray.refine.renderer import COLORS, DeferredRenderer
from lift3d_ray.types import Float32


class Cloud:
    """What is learnt: colours and descriptors of the points, the background's descriptor, the renderer.

    Args:
        points: the cloud with its first colours.
        viewpoints: all that it is ever drawn from.
        config: sizes, rates and how firmly colours are held.
        generator: draws the first descriptors and weights.
        device: where it is drawn.
    """

    def __init__(
        self,
        points: TexturedPoints,
        viewpoints: tuple[Viewpoint, ...],
        config: RefineConfig,
        generator: torch.Generator,
        device: torch.device | str,
    ) -> None:
        self.config, self.viewpoints = config, viewpoints
        self.first_N3 = torch.from_numpy(points.rgb_N3).to(device)
        self.colors_N3 = nn.Parameter(self.first_N3.clone())
        learnt = torch.randn(len(points.rgb_N3), config.descriptors, generator=generator)
        self.learnt_ND = nn.Parameter(learnt.to(device))
        self.behind_D = nn.Parameter(torch.zeros(config.descriptors, device=device))
        renderer = DeferredRenderer(COLORS + config.descriptors, width=config.width, generator=generator)
        self.renderer = renderer.to(device)
        held = np.where(points.canonical_N, config.anchor_seen, config.anchor).astype(np.float32)
        self.held_N = torch.from_numpy(held).to(device)
        self.splats = [
            splat_scales(
                points.xyz_N3,
                viewpoint,
                size=config.size_px,
                radius_px=config.radius * config.size_px / config.point_px,
                nearest=config.nearest,
                device=device,
            )
            for viewpoint in viewpoints
        ]

    def groups(self) -> list[dict[str, object]]:
        """What Adam is given: renderer and descriptors at one rate, colours at another."""
        rate = self.config.learning_rate
        return [
            {"params": [*self.renderer.parameters(), self.learnt_ND, self.behind_D], "lr": rate},
            {"params": [self.colors_N3], "lr": self.config.color_rate},
        ]

    def render(self, chosen: Sequence[int]) -> Tensor:
        """(B, 3, S, S) pictures from some viewpoints, not clipped."""
        descriptors = torch.cat([self.colors_N3, self.learnt_ND], dim=1)
        background = torch.cat([torch.ones_like(self.behind_D[:1]).expand(COLORS), self.behind_D])
        drawn = [
            torch.stack([draw(descriptors, background, self.splats[v][scale]) for v in chosen])
            for scale in range(len(SCALES))
        ]
        pictures: Tensor = self.renderer(drawn)
        return pictures

    def covered(self, chosen: Sequence[int]) -> Tensor:
        """(B, S, S) share of each pixel that points cover."""
        return torch.stack([coverage(self.splats[v][0]) for v in chosen])

    @torch.no_grad()
    def pictures(self) -> Float32:
        """(V, S, S, 3) float32 in [0, 1] pictures from all viewpoints, one at a time."""
        found = [self.render([v])[0].clamp(0, 1).permute(1, 2, 0) for v in range(len(self.viewpoints))]
        return np.asarray(torch.stack(found).float().cpu().numpy(), dtype=np.float32)
