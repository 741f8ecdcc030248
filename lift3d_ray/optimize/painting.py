"""From a field of latents to one of colours with the same surface: colours are fitted to decoded views all round.

What the decoder paints inside a latent cell is its idea of a single view, so that views disagree about it and the fit
takes their mean. The photo's own pixels are fitted beside them.

Shape suffixes: V views, S picture side, N grid points, C latent channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lift3d_ray.field.voxels import VoxelField
from lift3d_ray.guidance.regularizers import total_variation
from lift3d_ray.guidance.sds import image_loss
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.optimize.fit import reference_losses
from lift3d_ray.optimize.latent import render_latents
from lift3d_ray.optimize.latent_photo import LatentPhoto
from lift3d_ray.optimize.palette import Palette
from lift3d_ray.optimize.rendering import render_novel, views_all_round
from lift3d_ray.optimize.scene import Scene
from lift3d_ray.optimize.state import FitState
from lift3d_ray.recipes import Recipe

PAINTED_VIEWS = 24
VIEWS_A_STEP = 4
PAINT_STEPS = 60
PAINT_RATE = 0.1
_DARKEST = 0.02
"""First guesses of colours keep so far from 0 and 1, where their logits could not move."""


def painted(scene: Scene, photo: LatentPhoto, state: FitState, recipe: Recipe, codec: LatentCodec) -> VoxelField:
    """The field of colours that looks like a fitted field of latents, decoded; its densities are the same.

    Args:
        scene: the photo's pixels.
        photo: it in latents.
        state: at its last step; its generator places the samples and chooses among the photo's pixels.
        recipe: all numbers.
        codec: decodes the views.
    """
    azimuth_V, elevation_V = views_all_round(PAINTED_VIEWS, recipe)
    with torch.no_grad():
        _, latents = render_latents(photo, state, recipe, azimuth_V, elevation_V, 1.0)
        pictures_V3SS = codec.decode(latents)
    on_way = replace(state, field=first_colors(state.field, photo.palette))
    values = on_way.field.values_V4
    optimizer = torch.optim.Adam([values], lr=PAINT_RATE)
    smooth_color = recipe.losses.smooth_color * photo.smoothing(state.field.voxel)
    region = state.occupancy.grid_region(state.field.resolution)
    for step in range(PAINT_STEPS):
        # In turn, those of a step far apart.
        chosen = (step + np.arange(VIEWS_A_STEP) * (PAINTED_VIEWS // VIEWS_A_STEP)) % PAINTED_VIEWS
        _, seen = render_novel(on_way, recipe, codec.image_size, azimuth_V[chosen], elevation_V[chosen], 1.0)
        loss = image_loss(seen, pictures_V3SS[chosen])
        if scene.perception.pictured:
            loss = loss + reference_losses(scene, on_way, recipe, 1.0)["color"]
        loss = loss + smooth_color * total_variation(on_way.field.volume_RRR4()[region][..., 1:])
        (gradient,) = torch.autograd.grad(loss, values)
        # The surface is settled.
        gradient[:, 0] = 0
        values.grad = gradient
        optimizer.step()
    return on_way.field


def first_colors(field: VoxelField, palette: Palette) -> VoxelField:
    """A field of latents with a linear guess of their colours in their place."""
    values = field.values_V4.detach()
    rgb_N3 = palette.colors_of(values[:, 1:].float().cpu().numpy()).clip(_DARKEST, 1 - _DARKEST)
    raw_N3 = torch.from_numpy(np.log(rgb_N3 / (1 - rgb_N3))).to(values)
    return VoxelField(torch.cat([values[:, :1], raw_N3], dim=1))
