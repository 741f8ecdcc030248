"""A small asset, made in a moment, and what it is said to come from."""

from __future__ import annotations

import numpy as np

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.export.preview import contact_sheet
from lift3d_ray.export.result import Provenance
from lift3d_ray.export.turntable import turntable_frames
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.types import Asset, Mesh, Perception, ReferencePose
from tests.mesh.shapes import ball, photographed

PROVENANCE = Provenance(
    photo_name="ball.png",
    photo_digest="ab" * 32,
    photo_height_px=80,
    photo_width_px=100,
    recipe="make-it-3d",
    recipe_digest="cd" * 32,
    bundle="toybox",
    bundle_digest="ef" * 32,
    dtype="float16",
)


def colourful_ball(resolution: int = 20) -> Mesh:
    return ball(0.7, lambda xyz: np.clip(xyz * 0.6 + 0.5, 0, 1), resolution=resolution)


def small_asset(seed: int = 3, caption: str = "a colourful ball") -> Asset:
    mesh = colourful_ball()
    subject = photographed(mesh, orbit_c2w(0, 20)[0], size=64)
    disparity = np.where(subject.alpha_HW > 0.5, 0.5, 0.0).astype(np.float32)
    return Asset(
        mesh=mesh,
        points=sample_points(mesh, 500, np.random.default_rng(seed)),
        turntable_VHWC=turntable_frames(mesh, frames=4, size=32, supersample=1),
        preview_HWC=contact_sheet(mesh, subject, cell=24),
        perception=Perception(subject=subject, caption=caption, disparity_HW=disparity),
        pose=ReferencePose(elevation_deg=20.0, confidence=0.4),
        seed=seed,
        metrics={"reference_psnr": 24.5, "reference_iou": 0.93, "odd": float("inf")},
        losses={"rgb": 0.01},
        timings_s={"optimize": 33.0},
    )
