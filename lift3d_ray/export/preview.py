"""The preview: one sheet that shows the photo, its cut-out and the asset from all round.

Its cells are equal squares without gaps, so that a page can show any of them from the one file.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from lift3d_ray.cameras import DEFAULT_FOVY_DEG, orbit_c2w
from lift3d_ray.mesh.rasterize import normal_colors, rasterize, to_uint8
from lift3d_ray.types import Float32, Mesh, Subject, UInt8

COLUMNS = 7
"""Cells in a row: what was given, then six views a sixth of a turn apart, the photo's side first."""

ROWS = 2
"""Photo above cut-out; colours above normals."""

OVERLAY_COLOR = np.array([230, 60, 110], dtype=np.float32)


def contact_sheet(
    mesh: Mesh,
    subject: Subject,
    *,
    cell: int = 192,
    elevation_deg: float = 15.0,
    fovy_deg: float = DEFAULT_FOVY_DEG,
) -> UInt8:
    """The preview sheet.

    Args:
        mesh: the asset.
        subject: the photo's cut-out.
        cell: side of a cell in pixels.
        elevation_deg: height above the horizon from which the asset is seen.
        fovy_deg: vertical field of view, degrees.

    Returns:
        (2 cell, 7 cell, 3) uint8.
    """
    c2w_V44 = orbit_c2w(np.arange(COLUMNS - 1) * (360.0 / (COLUMNS - 1)), elevation_deg)
    views = rasterize(mesh, c2w_V44, size=cell, fovy_deg=fovy_deg, supersample=2)
    top = [_resized(subject.rgb_HWC, cell), *to_uint8(views.rgb_VHWC)]
    # Things made from words alone have neither picture nor cut-out: both cells stay white.
    overlay = mask_overlay(subject.rgb_HWC, subject.alpha_HW) if subject.alpha_HW.any() else subject.rgb_HWC
    bottom = [_resized(overlay, cell)]
    bottom += list(normal_colors(views, c2w_V44))
    return np.concatenate([np.concatenate(top, axis=1), np.concatenate(bottom, axis=1)])


def mask_overlay(rgb_HWC: UInt8, alpha_HW: Float32) -> UInt8:
    """(H, W, 3) uint8 picture with everything but the cut-out pushed towards one loud colour."""
    kept = alpha_HW[..., None]
    grey = rgb_HWC.astype(np.float32).mean(axis=-1, keepdims=True)
    pushed = 0.45 * grey + 0.55 * OVERLAY_COLOR
    return np.asarray(np.round(np.clip(rgb_HWC * kept + pushed * (1 - kept), 0, 255)), dtype=np.uint8)


def _resized(rgb_HWC: UInt8, side: int) -> UInt8:
    return np.asarray(Image.fromarray(rgb_HWC).resize((side, side), Image.Resampling.LANCZOS), dtype=np.uint8)
