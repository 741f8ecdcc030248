"""What a depth-conditioned prior is told of novel views: the first guess of the shape, as a cloud (Anything-3D).

The field's own depth, which it is told otherwise, confirms whatever the field has become; the cloud's stays.

Shape suffixes: B views, S picture side.
"""

from __future__ import annotations

import numpy as np
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.field.cloud import sparse_depth, stood_in_photo
from lift3d_ray.field.init import InitialField
from lift3d_ray.field.voxels import VoxelField, query
from lift3d_ray.mesh.colors import paint_field
from lift3d_ray.mesh.isosurface import extract_mesh
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import first_guess
from lift3d_ray.recipes import OptimizeConfig
from lift3d_ray.types import ColoredPoints, Float32

SURFACE_POINTS = 4096
"""Points drawn from a guessed surface: as many as Point-E's upsampler gives."""


def hint_cloud(scene: Scene, config: OptimizeConfig, *, seed: int) -> ColoredPoints:
    """The cloud of a scene, where novel views see it.

    Args:
        scene: what stays fixed; a cloud that the field starts from is stood in the photo.
        config: how the field starts.
        seed: of the points that are drawn.

    Raises:
        OptimizationFailed: there is nothing solid to start from.
    """
    if scene.points is not None:
        return stood_in_photo(scene.points, scene.perception.subject.alpha_HW, scene.c2w_44, scene.pose.framing)
    return surface_cloud(first_guess(scene, config), np.random.default_rng(seed))


def surface_cloud(guess: InitialField, generator: np.random.Generator) -> ColoredPoints:
    """Points spread evenly over the surface of a first guess, in its colours."""
    field = VoxelField.from_volumes(guess.raw_density_RRR, guess.raw_rgb_RRR3)

    def color_at(xyz_N3: Float32) -> Float32:
        with torch.no_grad():
            colors: Float32 = query(field, torch.from_numpy(xyz_N3), 1.0)[1].numpy()
        return colors

    mesh = paint_field(*extract_mesh(guess.raw_density_RRR, 0.0), color_at)
    drawn = sample_points(mesh, SURFACE_POINTS, generator)
    return ColoredPoints(xyz_N3=drawn.xyz_N3, rgb_N3=drawn.rgb_N3)


def cloud_hint(
    cloud: ColoredPoints, azimuth_B: Float32, elevation_B: Float32, *, size: int, radius: float
) -> Float32:
    """(B, 1, S, S) float32 disparity of the cloud in [0, 1], from where the field's novel views look.

    Args:
        cloud: where it stands.
        azimuth_B: (B,) degrees relative to the photo.
        elevation_B: (B,) degrees above the horizon.
        size: S.
        radius: of the discs that the points are drawn as, world units.
    """
    cameras = orbit_c2w(azimuth_B, elevation_B)
    return np.stack([sparse_depth(cloud, c2w, size=size, radius=radius)[None] for c2w in cameras])
