"""The samples that a picture is made of: where the rays saw matter, and how much of it.

Shape suffixes: N rays, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lift3d_ray.field.render import RenderedRays

LEAST_WEIGHT = 0.01
"""Samples that add less than this to their ray are not worth looking at."""


@dataclass(frozen=True, kw_only=True)
class VisibleSamples:
    """Samples with a share in their ray's colour; constants, without gradients.

    Attributes:
        xyz_S3: (S, 3) world positions.
        directions_S3: (S, 3) unit directions of their rays, away from the camera.
        weight_S: (S,) their weights in (0, 1].
    """

    xyz_S3: Tensor
    directions_S3: Tensor
    weight_S: Tensor


@torch.no_grad()
def visible_samples(rendered: RenderedRays, rays_o_N3: Tensor, rays_d_N3: Tensor) -> VisibleSamples:
    """Where rendered rays saw matter.

    Args:
        rendered: what came of the rays.
        rays_o_N3: (N, 3) their origins, world.
        rays_d_N3: (N, 3) their directions, of length 1 along the viewing axis.
    """
    row_S, column_S = (rendered.weights_MK > LEAST_WEIGHT).nonzero(as_tuple=True)
    ray_S = rendered.rays_M[row_S]
    direction_S3 = rays_d_N3[ray_S]
    return VisibleSamples(
        xyz_S3=torch.addcmul(rays_o_N3[ray_S], rendered.t_MK[row_S, column_S, None], direction_S3),
        directions_S3=torch.nn.functional.normalize(direction_S3, dim=-1),
        weight_S=rendered.weights_MK[row_S, column_S],
    )
