"""Coloured surface points of the toys whose pictures ``coarse_data`` holds: what point clouds are learnt from.

Shape suffixes: M toys, N pictures, K points a toy, S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lift3d_ray.toybox import shards
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.toys import shape_toy
from lift3d_ray.toybox.training.coarse_data import PICTURES, azimuth_deg
from lift3d_ray.types import Float32, Int64, UInt8

POINTS = 1024
"""Of every toy."""
_TOYS_A_SHARD = 250
_STEPS = 32767


@dataclass(frozen=True, kw_only=True)
class PointSet:
    """Toys as points, and their pictures: those of toy ``m`` are the rows ``PICTURES * m`` and following.

    Attributes:
        xyz_MK3: (M, K, 3) int16, positions in the toy's own frame in units of 1 / 32767.
        rgb_MK3: (M, K, 3) uint8 unlit colours.
        rgba_NSSC: (N, 64, 64, 4) uint8 pictures framed as a subject crop is, colour over white and coverage.
    """

    xyz_MK3: np.ndarray
    rgb_MK3: UInt8
    rgba_NSSC: UInt8

    def seen_points(self, rows_B: Int64) -> tuple[Float32, Float32]:
        """The points behind pictures, in the frame of the lift: the picture is taken from azimuth 0.

        Args:
            rows_B: (B,) numbers of pictures.

        Returns:
            positions (B, K, 3) in the unit ball and colours (B, K, 3) in [0, 1], float32.
        """
        toys_B = rows_B // PICTURES
        turn_B33 = np.stack([turned_to_front(azimuth_deg(int(row))) for row in rows_B])
        xyz_BK3 = self.xyz_MK3[toys_B].astype(np.float32) / _STEPS
        return (
            np.asarray(xyz_BK3 @ turn_B33.transpose(0, 2, 1), dtype=np.float32),
            np.asarray(self.rgb_MK3[toys_B].astype(np.float32) / 255, dtype=np.float32),
        )


def turned_to_front(azimuth: float) -> Float32:
    """(3, 3) rotation about +Y that brings what a camera at this azimuth (degrees) faces to azimuth 0."""
    angle = np.deg2rad(azimuth)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=np.float32)


def build_points(folder: Path, *, toys: int, split: Split = Split.TRAIN, workers: int = 1) -> None:
    """Write the missing shards of points of the first ``toys`` toys; a killed build goes on where it stopped."""
    settings = {"kind": "points", "split": split.value, "remixed": split is Split.TRAIN, "points": POINTS}
    make = partial(_rows, split=split)
    shards.build(folder, make, count=toys, per_shard=_TOYS_A_SHARD, settings=settings, workers=workers)


def load_points(points: Path, pictures: Path, *, toys: int | None = None) -> PointSet:
    """The finished shards of both folders, at most ``toys`` toys; toys that lack pictures or points are left out.

    Args:
        points: as ``build_points`` wrote it.
        pictures: as ``coarse_data.build_coarse`` wrote it, of the same split.
        toys: how many at most.
    """
    clouds = shards.load(points, limit=toys)
    count = len(clouds["xyz"])
    rgba_NSSC = shards.load(pictures, ["rgba"], limit=count * PICTURES)["rgba"]
    count = min(count, len(rgba_NSSC) // PICTURES)
    return PointSet(
        xyz_MK3=clouds["xyz"][:count], rgb_MK3=clouds["rgb"][:count], rgba_NSSC=rgba_NSSC[: count * PICTURES]
    )


def _rows(toys: range, *, split: Split) -> shards.Arrays:
    made = [_toy(number, split) for number in toys]
    return {"xyz": np.stack([xyz for xyz, _ in made]), "rgb": np.stack([rgb for _, rgb in made])}


def _toy(number: int, split: Split) -> tuple[np.ndarray, UInt8]:
    rng = np.random.default_rng([number, 29])
    xyz_K3, rgb_K3, _ = surface_points(shape_toy(number, split=split), POINTS, rng)
    return (
        np.round(np.clip(xyz_K3, -1, 1) * _STEPS).astype(np.int16),
        np.asarray(np.round(np.clip(rgb_K3, 0, 1) * 255), dtype=np.uint8),
    )
