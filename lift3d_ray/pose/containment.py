"""A guessed solid must fit into the unit ball, where the field lives: a pose under which it would not is corrected.

The solid is known up to its size; the size is the pose's zoom. Zooming in makes the same picture one of a smaller
thing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lift3d_ray.cameras import half_width, orbit_c2w, pixel_rays
from lift3d_ray.types import CoarseShape, ReferencePose

LARGEST_RADIUS = 0.98
_OUTLIERS = 0.003


def contained(pose: ReferencePose, shape: CoarseShape) -> ReferencePose:
    """The pose, zoomed in until the solid's cells lie inside the ball."""
    radius = _radius(pose, shape)
    if radius <= LARGEST_RADIUS:
        return pose
    zoomed = replace(pose.framing, focal_scale=pose.framing.focal_scale * radius / LARGEST_RADIUS)
    return replace(pose, framing=zoomed)


def _radius(pose: ReferencePose, shape: CoarseShape) -> float:
    """Distance of the farthest filled cells from the origin, but for a few outliers; 0 where nothing is filled."""
    side, _, slices = shape.filled_SSD.shape
    camera = orbit_c2w(0.0, 0.0)
    origins, directions = (rays[0] for rays in pixel_rays(camera, side, framing=pose.framing))
    reach = shape.depth_reach * half_width(pose.framing)
    depth = camera[0, 2, 3] + ((np.arange(slices) + 0.5) * 2 / slices - 1) * reach
    points = origins[:, :, None] + directions[:, :, None] * depth[:, None]
    distance = np.linalg.norm(points, axis=-1)[shape.filled_SSD > 0.5]
    return float(np.quantile(distance, 1 - _OUTLIERS)) if len(distance) else 0.0
