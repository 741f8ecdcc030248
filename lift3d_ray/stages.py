"""What every stage of a lift made of its picture, on one sheet.

    what was given    crop, cut-out, depth; as points, from the photo's side and the right: the cloud whose depth the
                      prior is told, or else the first guess of the shape
    coarse            the field's mesh from six sides, the photo's first
    refined           the same after stage two, where the recipe has one
    normals           of the surface, which stage two leaves as it is

Shape suffixes: T side of a tile.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.export.preview import mask_overlay
from lift3d_ray.field.cloud import splat
from lift3d_ray.lifting import Report, SceneTools, SettledScene, finish, fit_scene, perceive, silent
from lift3d_ray.mesh.rasterize import normal_colors, rasterize, to_uint8
from lift3d_ray.mesh.surface import mesh_field
from lift3d_ray.models.roles import Models
from lift3d_ray.optimize.hint import surface_cloud
from lift3d_ray.optimize.state import first_guess
from lift3d_ray.recipes import Recipe
from lift3d_ray.subject.select import AUTOMATIC, Selection
from lift3d_ray.types import Asset, MaskProposal, Mesh, Photo, UInt8

TILE = 160
COLUMNS = 6
_ELEVATION_DEG = 15.0


def lift_in_stages(
    photo: Photo,
    models: Models,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    selection: Selection = AUTOMATIC,
    mask: MaskProposal | None = None,
    prompt: str | None = None,
    report: Report = silent,
) -> tuple[Asset, UInt8]:
    """The asset that ``lifting.lift`` makes, and the sheet of its stages; arguments and errors as there."""
    perception = perceive(photo, models, recipe, selection=selection, mask=mask, prompt=prompt, report=report)
    settled = fit_scene(perception, models.prior, recipe, seed=seed, tools=tools, report=report)
    asset = finish(settled, recipe, seed=seed, prior=models.prior, tools=tools, report=report)
    return asset, stage_sheet(settled, asset, recipe)


def stage_sheet(settled: SettledScene, asset: Asset, recipe: Recipe) -> UInt8:
    """The sheet of a finished lift, (rows TILE, COLUMNS TILE, 3) uint8.

    Args:
        settled: its scene with the field.
        asset: what became of it.
        recipe: of the lift.
    """
    final, normals = _sides(asset.mesh, "lifted" if asset.textured is None else "refined")
    rows = [_given(settled, recipe), final, normals]
    if asset.textured is not None:
        rows.insert(1, _sides(_coarse_mesh(settled, recipe), "coarse")[0])
    return np.concatenate(rows)


def _coarse_mesh(settled: SettledScene, recipe: Recipe) -> Mesh:
    scene, fitted = settled.scene, settled.fitted
    subject, framing = scene.perception.subject, scene.pose.framing
    return mesh_field(fitted.field, fitted.sharpness, recipe.mesh, subject, scene.c2w_44, framing)


def _given(settled: SettledScene, recipe: Recipe) -> UInt8:
    perception = settled.scene.perception
    rgb, alpha = perception.subject.rgb_HWC, perception.subject.alpha_HW
    depth = np.repeat(np.round(perception.disparity_HW[..., None] * 255).astype(np.uint8), 3, axis=-1)
    told = settled.scene.cloud
    cloud = told or surface_cloud(first_guess(settled.scene, recipe.optimize), np.random.default_rng(0))
    seen = [splat(cloud, orbit_c2w(azimuth, _ELEVATION_DEG)[0], size=TILE, radius=0.02).rgb_HWC for azimuth in (0, 90)]
    white = np.full((TILE, TILE, 3), 255, dtype=np.uint8)
    tiles = [_sized(rgb), _sized(mask_overlay(rgb, alpha)), _sized(depth), *(to_uint8(view) for view in seen), white]
    names = ("crop", "cut-out", "depth", "cloud" if told else "first guess", "from the right", "")
    return _row(tiles, names)


def _sides(mesh: Mesh, name: str) -> list[UInt8]:
    """Colours and normals of a mesh, a row each."""
    turn = np.arange(COLUMNS) * (360.0 / COLUMNS)
    c2w_V44 = orbit_c2w(turn, _ELEVATION_DEG)
    views = rasterize(mesh, c2w_V44, size=TILE, supersample=2)
    angles = [f"{angle:.0f}" for angle in turn]
    return [
        _row(list(to_uint8(views.rgb_VHWC)), [f"{name}, {angle}" for angle in angles]),
        _row(list(normal_colors(views, c2w_V44)), [f"normals, {angle}" for angle in angles]),
    ]


def _row(tiles: list[UInt8], names: list[str] | tuple[str, ...]) -> UInt8:
    return np.concatenate([_named(tile, name) for tile, name in zip(tiles, names, strict=True)], axis=1)


def _named(tile_TT3: UInt8, name: str) -> UInt8:
    picture = Image.fromarray(tile_TT3)
    ImageDraw.Draw(picture).text((4, 2), name, fill=(90, 90, 90), stroke_width=1, stroke_fill=(255, 255, 255))
    return np.asarray(picture, dtype=np.uint8)


def _sized(rgb_HWC: UInt8) -> UInt8:
    return np.asarray(Image.fromarray(rgb_HWC).resize((TILE, TILE), Image.Resampling.LANCZOS), dtype=np.uint8)
