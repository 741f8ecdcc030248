"""The sheet of stages shows the lift that a plain one makes."""

from __future__ import annotations

import numpy as np

from lift3d_ray.evaluate import make_exam
from lift3d_ray.lifting import lift, load_tools
from lift3d_ray.models.bundle import load_bundle, load_models
from lift3d_ray.recipe_settings import with_settings
from lift3d_ray.recipes import Quality, make_it_3d
from lift3d_ray.stages import COLUMNS, TILE, lift_in_stages

_BRIEF = (
    "optimize.steps=6",
    "optimize.resolutions=24",
    "optimize.warmup_steps=2",
    "mesh.resolution=32",
    "mesh.turntable_frames=2",
    "mesh.turntable_px=32",
    "refine.steps=2",
    "refine.viewpoints=4",
    "refine.texture_px=64",
)


def test_the_sheet_shows_what_was_given_the_coarse_mesh_the_refined_one_and_its_normals() -> None:
    recipe = with_settings(make_it_3d(Quality.DRAFT), _BRIEF)
    bundle = load_bundle("toybox")
    models, tools = load_models(bundle), load_tools(bundle, recipe=recipe)
    photo = make_exam(1).photo
    asset, sheet = lift_in_stages(photo, models, recipe, seed=3, tools=tools)
    plain = lift(photo, models, recipe, seed=3, tools=tools)
    assert np.array_equal(asset.mesh.vertices_N3, plain.mesh.vertices_N3)
    assert np.array_equal(asset.mesh.colors_N3, plain.mesh.colors_N3)
    assert sheet.shape == (4 * TILE, COLUMNS * TILE, 3)
    rows = sheet.reshape(4, TILE, COLUMNS, TILE, 3).swapaxes(1, 2)
    shown = (rows < 200).any(-1).mean((2, 3))
    assert (shown[1:] > 0.05).all()
    assert (shown[0, :5] > 0.05).all()
    assert not np.array_equal(rows[1], rows[2])
