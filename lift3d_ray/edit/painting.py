"""New colours on an asset's surface: the edited picture's where it sees the surface, then what refinement changed.

Shape suffixes: N places on the surface, T covered texels, S picture side.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from lift3d_ray.edit.surface import Surface
from lift3d_ray.edit.transfer import ColorTransfer
from lift3d_ray.errors import InputError
from lift3d_ray.mesh.colors import project_photo, refine_seen
from lift3d_ray.mesh.photo_view import DEFAULT_PAINT, PhotoView, clean_rim, place_weights, sample
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.refine import Refined
from lift3d_ray.refine.baking import Changes
from lift3d_ray.types import Float32, Mesh

_LEARN_PX = 128
"""Side of the pictures in which colours before and after are compared."""


def painted_by_picture(surface: Surface, view: PhotoView) -> Surface:
    """The surface as an edited picture wants it: its own colours where it sees them, what follows from them elsewhere.

    Args:
        surface: with the colours before the edit.
        view: the edited picture, with the photo's camera.

    Raises:
        InputError: the picture sees nothing of the surface.
    """
    atlas, old = surface.atlas, surface.mesh
    transfer = learnt_transfer(old, view)
    followed = replace(old, colors_N3=_followed(old.vertices_N3, old.colors_N3, transfer, view))
    mesh = project_photo(refine_seen(followed, view), view)
    rgb = _followed(atlas.xyz_T3, surface.rgb_T3, transfer, view)
    weight = place_weights(atlas.xyz_T3, atlas.texel_normals_T3, old, view)[:, None]
    seen = sample(clean_rim(view.subject, DEFAULT_PAINT.rim), view.project(atlas.xyz_T3)[0])
    return Surface(mesh=mesh, atlas=atlas, rgb_T3=np.asarray(rgb * (1 - weight) + seen * weight, dtype=np.float32))


def painted_by_changes(surface: Surface, changes: Changes) -> Surface:
    """The surface with what a refinement of its mesh changed."""
    mesh, atlas = surface.mesh, surface.atlas
    return Surface(
        mesh=replace(mesh, colors_N3=changes.apply(mesh.vertices_N3, mesh.normals_N3, mesh.colors_N3)),
        atlas=atlas,
        rgb_T3=changes.apply(atlas.xyz_T3, atlas.texel_normals_T3, surface.rgb_T3),
    )


def as_coarse_as(refined: Refined, image_size: int) -> Refined:
    """A refinement without what is finer than the prior's pictures: the prior did not say it, so it is noise.

    Args:
        refined: what the viewpoints saw before and see now.
        image_size: side of the prior's pictures.
    """
    sigma = 0.5 * refined.covered_VSS.shape[1] / image_size
    covered = refined.covered_VSS[..., None]
    change = gaussian_filter((refined.after_VSSC - refined.before_VSSC) * covered, sigma, axes=(1, 2))
    # The mean over what is covered, so that the background does not fade the rim.
    share = gaussian_filter(covered, sigma, axes=(1, 2))
    smooth = refined.before_VSSC + change / np.maximum(share, np.float32(1e-3))
    return replace(refined, after_VSSC=np.asarray(smooth, dtype=np.float32))


def learnt_transfer(mesh: Mesh, view: PhotoView) -> ColorTransfer:
    """What an edited picture did to the colours that its camera sees of a mesh.

    Raises:
        InputError: the picture sees nothing of it.
    """
    shown = rasterize(mesh, view.c2w_44[None], size=_LEARN_PX, framing=view.framing)
    row, column = np.nonzero(shown.alpha_VHW[0] > 0.99)
    place = np.asarray(np.stack([column, row], axis=1) + 0.5, dtype=np.float32) / np.float32(_LEARN_PX)
    inside = sample(view.subject.alpha_HW[..., None], place * view.size_px)[:, 0] > 0.99
    if not inside.any():
        raise InputError("the edited picture shows nothing of the asset: frame it as the asset's subject.png")
    after = sample(clean_rim(view.subject, DEFAULT_PAINT.rim), place[inside] * view.size_px)
    return ColorTransfer(shown.rgb_VHWC[0][row, column][inside], after, place[inside])


def _followed(xyz_N3: Float32, rgb_N3: Float32, transfer: ColorTransfer, view: PhotoView) -> Float32:
    return transfer(rgb_N3, view.project(xyz_N3)[0] / np.float32(view.size_px))
