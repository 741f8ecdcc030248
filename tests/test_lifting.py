"""The end of the route: a settled scene becomes an asset, with stage two or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lift3d_ray.errors import ConfigError
from lift3d_ray.export.write import GLB, write_asset
from lift3d_ray.lifting import SceneTools, SettledScene, finish
from lift3d_ray.optimize import Fitted, prepare_scene
from lift3d_ray.optimize.scene import view_reference
from lift3d_ray.optimize.state import initial_state
from lift3d_ray.recipes import Quality, Recipe, RefineConfig, make_it_3d
from lift3d_ray.types import Progress, ReferencePose
from tests.export.assets import PROVENANCE
from tests.export.glb_check import check, check_textured
from tests.scenes import SCHEDULE, PixelCodec, ToyPrior, toy_perception

REFINE = RefineConfig(steps=2, size_px=16, point_px=24, viewpoints=4, views=2, width=4, descriptors=2, texture_px=64)
TOY, PERCEPTION, FRAMING = toy_perception("house", azimuth_deg=20.0, elevation_deg=20.0)
TOOLS = SceneTools(codec=PixelCodec(), schedule=SCHEDULE, has_view_prior=True)  # type: ignore[arg-type]


def small(refine: RefineConfig) -> Recipe:
    draft = make_it_3d(Quality.DRAFT)
    return replace(
        draft,
        optimize=replace(draft.optimize, resolutions=(24,)),
        mesh=replace(draft.mesh, resolution=24, faces=500, points=100, turntable_frames=2, turntable_px=16),
        refine=refine,
    )


@pytest.fixture(scope="module")
def settled() -> SettledScene:
    """A scene whose field is the first guess."""
    reference = view_reference(PERCEPTION.subject, PixelCodec(), None)  # type: ignore[arg-type]
    scene = prepare_scene(PERCEPTION, ReferencePose(elevation_deg=20.0, framing=FRAMING), reference)
    state = initial_state(scene, small(REFINE).optimize, generator=torch.Generator().manual_seed(0))
    fitted = Fitted(field=state.field, sharpness=60.0, losses={"color": 0.1}, prior_s=1.0, prior_batch=4.0)
    return SettledScene(scene=scene, fitted=fitted, seconds={"optimize": 1.0})


def test_a_refined_asset_has_a_texture_points_and_figures(settled: SettledScene, tmp_path: Path) -> None:
    seen: list[Progress] = []
    asset = finish(settled, small(REFINE), seed=0, prior=ToyPrior(TOY, 20.0), tools=TOOLS, report=seen.append)
    assert [(p.stage, p.step) for p in seen] == [("refine", 1), ("refine", 2)]
    assert asset.textured is not None
    assert {"refine", "mesh", "optimize"} <= set(asset.timings_s)
    assert asset.timings_s["prior"] > 1.0
    assert {"color", "refine_color", "refine_prior"} <= set(asset.losses)
    assert {"reference_psnr", "coarse_psnr", "prior_batch"} <= set(asset.metrics)
    assert abs(asset.metrics["reference_psnr"] - asset.metrics["coarse_psnr"]) < 1
    assert len(asset.points.xyz_N3) > 100
    files = write_asset(asset, tmp_path, PROVENANCE)
    glb = check_textured((files.folder / GLB).read_bytes())
    assert np.array_equal(glb.attribute("TEXCOORD_0"), asset.textured.uv_N2)


def test_without_stage_two_colours_stay_at_the_vertices(settled: SettledScene, tmp_path: Path) -> None:
    off = small(replace(REFINE, steps=0))
    asset = finish(settled, off, seed=0)
    same = finish(settled, off, seed=0, prior=ToyPrior(TOY, 20.0), tools=TOOLS)
    assert asset.textured is None
    assert "refine" not in asset.timings_s
    assert "coarse_psnr" not in asset.metrics
    assert len(asset.points.xyz_N3) == off.mesh.points
    np.testing.assert_array_equal(asset.mesh.colors_N3, same.mesh.colors_N3)
    check((write_asset(asset, tmp_path, PROVENANCE).folder / GLB).read_bytes())


def test_a_refinement_without_a_prior_is_refused(settled: SettledScene) -> None:
    with pytest.raises(ConfigError, match="needs a prior and tools"):
        finish(settled, small(REFINE), seed=0)
