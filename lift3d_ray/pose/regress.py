"""Pose at one look: the regressor's canonical box laid over the crop's own."""

from __future__ import annotations

from lift3d_ray.cameras import Framing
from lift3d_ray.models.pose import PoseRegressor
from lift3d_ray.subject.masks import bounding_box
from lift3d_ray.types import ReferencePose, Subject

_SMALLEST_ZOOM, _LARGEST_ZOOM = 0.6, 3.0


def regress_pose(subject: Subject, regressor: PoseRegressor) -> ReferencePose:
    """Elevation, zoom and shift of the photo.

    The crop shows the subject's box at one place and size, the canonical picture would show it at another: the framing
    is what leads from the second to the first.

    Args:
        subject: the cut-out.
        regressor: the bundle's.
    """
    found = regressor.estimate(subject.over(1.0))
    x0, y0, x1, y1 = bounding_box(subject.alpha_HW > 0.5)
    side = subject.alpha_HW.shape[0]
    half = max(x1 - x0, y1 - y0) / side
    center_x, center_y = (x0 + x1) / side - 1, 1 - (y0 + y1) / side
    zoom = min(max(half / found.half, _SMALLEST_ZOOM), _LARGEST_ZOOM)
    return ReferencePose(
        elevation_deg=found.elevation_deg,
        framing=Framing(
            focal_scale=zoom,
            shift_x=center_x - zoom * found.center_x,
            shift_y=center_y - zoom * found.center_y,
        ),
        confidence=1.0,
    )
