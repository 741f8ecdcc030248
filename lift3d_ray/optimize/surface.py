"""What a step's novel views ask of the surface they see: its form, and its look under a lamp.

Shape suffixes: B views, N rays, S picture side.
"""

from __future__ import annotations

from torch import Tensor

from lift3d_ray.field.normals import normals_at, slopes
from lift3d_ray.field.render import RenderedRays
from lift3d_ray.field.visible import visible_samples
from lift3d_ray.guidance.normal_smoothness import normal_smoothness, steps_aside
from lift3d_ray.guidance.orientation import orientation
from lift3d_ray.guidance.shading import draw_finishes, draw_lamps, lambertian, shaded
from lift3d_ray.optimize.rendering import WHITE, as_pictures, novel_rays
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe
from lift3d_ray.types import Float32


def surface_losses(
    state: FitState, recipe: Recipe, rendered: RenderedRays, azimuth_B: Float32, elevation_B: Float32
) -> dict[str, Tensor]:
    """Weighted losses of the visible surface's normals, by name."""
    weights = recipe.losses
    if not (weights.orientation or weights.smooth_normals):
        return {}
    field = state.field
    rays_o_N3, rays_d_N3 = novel_rays(azimuth_B, elevation_B, recipe.optimize.view_px, field.values_V4.device)
    seen, slopes_V3 = visible_samples(rendered, rays_o_N3, rays_d_N3), slopes(field)
    normals_S3 = normals_at(slopes_V3, seen.xyz_S3)
    losses = {}
    if weights.orientation:
        losses["orientation"] = weights.orientation * orientation(
            normals_S3, seen.directions_S3, seen.weight_S, len(rays_o_N3)
        )
    if weights.smooth_normals:
        beside_S3 = normals_at(slopes_V3, steps_aside(seen.xyz_S3, field.voxel, state.generator))
        losses["smooth_normals"] = weights.smooth_normals * normal_smoothness(
            normals_S3, beside_S3, seen.weight_S, len(rays_o_N3)
        )
    return losses


def relit_pictures(
    state: FitState,
    recipe: Recipe,
    rendered: RenderedRays,
    picture_px: int,
    azimuth_B: Float32,
    elevation_B: Float32,
) -> Tensor:
    """Pictures (B, 3, S, S) of rendered novel views, each as it is, under a lamp, or without its paint."""
    shading, side, views = recipe.optimize.shading, recipe.optimize.view_px, len(azimuth_B)
    rays_o_N3, rays_d_N3 = novel_rays(azimuth_B, elevation_B, side, state.field.values_V4.device)
    xyz_N3 = rays_o_N3 + rendered.depth_N.detach()[:, None] * rays_d_N3
    normals_N3 = normals_at(slopes(state.field), xyz_N3)
    finishes_B = draw_finishes((shading.albedo, shading.lambertian, shading.textureless), views, state.generator)
    lamps_B3 = draw_lamps(rays_o_N3.view(views, -1, 3)[:, 0], state.generator)
    light_N = lambertian(normals_N3, lamps_B3.repeat_interleave(side**2, dim=0), shading.ambient)
    rgb_BP3 = shaded(
        rendered.rgb_N3.view(views, -1, 3),
        rendered.opacity_N.view(views, -1),
        light_N.view(views, -1),
        finishes_B,
        background=WHITE,
    )
    return as_pictures(rgb_BP3.reshape(-1, 3), side, picture_px)
