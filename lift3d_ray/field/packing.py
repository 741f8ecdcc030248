"""From rays to the samples worth evaluating, on CPU.

Samples in empty cells, and behind matter that is certainly opaque, are left out; the rest are packed in ray order. Gaps
hold no matter and all samples stand for one and the same step, so leaving the gaps out changes no integral.

Shape suffixes: N rays, H rays that pass the box, M rays that met an occupied cell, K samples, P packed samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lift3d_ray.field.occupancy import Occupancy
from lift3d_ray.field.rays import Box, sample_rays

OPAQUE_THICKNESS = 10.0
"""Rays that have certainly crossed this optical thickness stop: what lies behind weighs less than exp(-10)."""

NOWHERE: Box = ((3.0, 3.0, 3.0), (2.0, 2.0, 2.0))
"""A box that no ray meets."""


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Packed samples, and their places in a table with one row, filled from the left, for each ray met.

    Attributes:
        xyz_3P: (3, P) world positions, in ray order.
        row_P: (P,) int64 row of each sample's ray.
        place_P: (P,) int64 flat place of each sample in the (M, K) table.
        t_MK: (M, K) z-depths, 0 in the padding.
        rays_M: (M,) int64 indices of the rays, ascending.
        step: world length that each sample stands for.
    """

    xyz_3P: Tensor
    row_P: Tensor
    place_P: Tensor
    t_MK: Tensor
    rays_M: Tensor
    step: float


@torch.no_grad()
def sample_table(
    rays_o_N3: Tensor,
    rays_d_N3: Tensor,
    *,
    n_samples: int,
    occupancy: Occupancy,
    generator: torch.Generator | None = None,
) -> SampleTable:
    """The samples of rays that are worth evaluating.

    Args:
        rays_o_N3: (N, 3) origins, world, on CPU.
        rays_d_N3: (N, 3) directions.
        n_samples: samples along the diameter of the field's ball.
        occupancy: where matter may be, and where it is certainly dense.
        generator: shifts the samples of each ray by a random part of a step; None = midpoints.
    """
    samples = sample_rays(rays_o_N3, rays_d_N3, n_samples=n_samples, box=occupancy.box or NOWHERE, generator=generator)
    o_H3, d_H3 = (v.index_select(0, samples.rays_H) for v in (rays_o_N3, rays_d_N3))
    xyz = [torch.addcmul(o_H3[:, a, None], samples.t_HK, d_H3[:, a, None]) for a in range(3)]
    keep_HK = _worth_evaluating(occupancy, xyz, samples.valid_HK, samples.step)
    count_H = keep_HK.sum(1, dtype=torch.int32).long()
    hit_H = count_H.nonzero()[:, 0]
    count_M = count_H.index_select(0, hit_H)
    # numpy's nonzero is several times faster than torch's on one core.
    flat_P = torch.from_numpy(keep_HK.view(-1).numpy().nonzero()[0])
    row_P = torch.repeat_interleave(torch.arange(len(hit_H)), count_M)
    width = int(count_M.amax()) if len(hit_H) else 0
    # A sample's column is its rank on its ray: its place in P less the place of its ray's first.
    shift_M = torch.arange(len(hit_H)) * width - (count_M.cumsum(0) - count_M)
    place_P = torch.arange(len(flat_P)) + shift_M.index_select(0, row_P)
    t_MK = samples.t_HK.new_zeros(len(hit_H), width)
    t_MK.view(-1).index_copy_(0, place_P, samples.t_HK.view(-1).index_select(0, flat_P))
    return SampleTable(
        xyz_3P=torch.stack([c.view(-1).index_select(0, flat_P) for c in xyz]),
        row_P=row_P,
        place_P=place_P,
        t_MK=t_MK,
        rays_M=samples.rays_H.index_select(0, hit_H),
        step=samples.step,
    )


def _worth_evaluating(occupancy: Occupancy, xyz: list[Tensor], valid_HK: Tensor, step: float) -> Tensor:
    floor_HK = occupancy.floor_at(*xyz)
    keep_HK = (floor_HK >= 0).logical_and_(valid_HK)
    if occupancy.sigma_floor_GGG is not None:
        dense_HK = floor_HK.clamp_min_(0.0)
        before_HK = dense_HK.cumsum(1).sub_(dense_HK)
        keep_HK.logical_and_(before_HK < OPAQUE_THICKNESS / step)
    return keep_HK
