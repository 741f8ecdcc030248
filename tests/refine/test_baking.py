"""The unwrapped surface: texels where they belong, gutters filled, and the photo's own pixels in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.errors import ExportError
from lift3d_ray.mesh.geometry import face_crosses, vertex_normals
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.recipes import RefineConfig, make_it_3d
from lift3d_ray.refine.atlas import Atlas, covered_texels, fill_gutters, unwrap
from lift3d_ray.refine.baking import bake
from lift3d_ray.refine.fit import Refined
from lift3d_ray.refine.points import textured_points
from lift3d_ray.refine.viewpoints import photo_viewpoint, viewpoints_around
from lift3d_ray.types import Float32, Mesh, TexturedMesh
from tests.mesh.shapes import ball, flat, photographed

SIZE = 64
RECIPE = replace(make_it_3d(), refine=RefineConfig(texture_px=SIZE))


def ramp(xyz_N3: Float32) -> Float32:
    return np.asarray(np.clip(xyz_N3 * 0.5 + 0.5, 0, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    mesh = ball(0.6, resolution=20)
    return unwrap(mesh.vertices_N3, mesh.faces_F3, mesh.normals_N3, size=SIZE)


def shown_at(textured: TexturedMesh, uv_N2: Float32) -> Float32:
    """(N, 3) colours of the texels that hold the places."""
    side = textured.texture_SSC.shape[0]
    column, row = np.clip(uv_N2 * side, 0, side - 1).astype(int).T
    return np.asarray(textured.texture_SSC[row, column] / np.float32(255))


def test_texels_lie_on_the_surface_and_fill_the_texture(atlas: Atlas) -> None:
    assert np.abs(np.linalg.norm(atlas.xyz_T3, axis=1) - 0.6).max() < 0.03
    assert np.linalg.norm(atlas.texel_normals_T3, axis=1) == pytest.approx(1, abs=1e-5)
    assert atlas.size == SIZE
    assert len(atlas.texel_T) == len(np.unique(atlas.texel_T)) > 0.4 * atlas.size**2
    assert atlas.uv_N2.min() >= 0
    assert atlas.uv_N2.max() <= 1


def test_the_surface_is_still_whole(atlas: Atlas) -> None:
    mesh = ball(0.6, resolution=20)
    whole = np.linalg.norm(face_crosses(mesh.vertices_N3, mesh.faces_F3), axis=1).sum()
    cut = np.linalg.norm(face_crosses(atlas.vertices_N3, atlas.faces_F3), axis=1).sum()
    assert cut == pytest.approx(whole, rel=1e-5)
    normals = vertex_normals(atlas.vertices_N3, atlas.faces_F3)
    assert (np.einsum("ni,ni->n", normals, atlas.vertices_N3) > 0).all()


def test_vertices_find_their_own_colour_in_the_texture(atlas: Atlas) -> None:
    textured = TexturedMesh(
        vertices_N3=atlas.vertices_N3,
        faces_F3=atlas.faces_F3,
        normals_N3=atlas.normals_N3,
        uv_N2=atlas.uv_N2,
        texture_SSC=fill_gutters(atlas, ramp(atlas.xyz_T3)),
    )
    assert np.abs(shown_at(textured, atlas.uv_N2) - ramp(atlas.vertices_N3)).max() < 0.05


def test_gutters_take_the_nearest_colour(atlas: Atlas) -> None:
    texture = fill_gutters(atlas, np.ones_like(atlas.xyz_T3))
    assert texture.shape == (atlas.size, atlas.size, 3)
    assert texture.min() == 255


def test_a_texture_too_small_to_hold_anything_is_refused() -> None:
    mesh = ball(0.6, resolution=12)
    nowhere = np.full((len(mesh.vertices_N3), 2), -5, np.float32)
    with pytest.raises(ExportError, match="ask for a larger texture"):
        covered_texels(mesh.vertices_N3, mesh.normals_N3, mesh.faces_F3, nowhere, 8)


def changed(mesh: Mesh, amount: float) -> tuple[Refined, PhotoView]:
    """A refinement that made every novel view darker by an amount, and left the photo's own view alone."""
    c2w = orbit_c2w(0, 0)[0]
    view = PhotoView(subject=photographed(ball(0.6, flat(0.9, 0.5, 0.5), resolution=20), c2w, size=96), c2w_44=c2w)
    around = viewpoints_around(photo_viewpoint(c2w, 0.0, view.framing), 8, (-30.0, 60.0))
    before = np.ones((len(around), 32, 32, 3), dtype=np.float32)
    after = before - amount
    after[0] = 1
    return Refined(
        points=textured_points(mesh, view.subject, around, size=48),
        viewpoints=around,
        before_VSSC=before,
        after_VSSC=after,
        covered_VSS=np.ones((len(around), 32, 32), dtype=np.float32),
        losses={},
        prior_s=0.0,
        prior_batch=0.0,
    ), view


def test_changes_reach_what_the_photo_does_not_show() -> None:
    mesh = ball(0.6, flat(0.5, 0.5, 0.9), resolution=20)
    found, view = changed(mesh, 0.2)
    got = bake(mesh, found, view, RECIPE)
    back = mesh.vertices_N3[:, 2] < -0.1
    assert got.mesh.colors_N3[back] == pytest.approx(
        np.tile(np.array([0.3, 0.3, 0.7], np.float32), (back.sum(), 1)), abs=0.01
    )
    front = mesh.normals_N3[:, 2] > 0.5
    np.testing.assert_allclose(got.mesh.colors_N3[front], mesh.colors_N3[front], atol=1e-3)
    behind = got.points.xyz_N3[:, 2] < -0.1
    assert got.points.rgb_N3[behind].mean(0) == pytest.approx([0.3, 0.3, 0.7], abs=0.01)


def test_the_texture_keeps_the_photos_pixels_in_front() -> None:
    mesh = ball(0.6, flat(0.5, 0.5, 0.9), resolution=20)
    found, view = changed(mesh, 0.2)
    got = bake(mesh, found, view, RECIPE)
    shown = shown_at(got.textured, got.textured.uv_N2)
    front, back = got.textured.normals_N3[:, 2] > 0.6, got.textured.normals_N3[:, 2] < -0.3
    assert np.median(shown[front], axis=0) == pytest.approx([0.9, 0.5, 0.5], abs=0.02)
    assert np.median(shown[back], axis=0) == pytest.approx([0.3, 0.3, 0.7], abs=0.02)


def test_places_that_no_viewpoint_sees_follow_the_nearest_seen() -> None:
    mesh = ball(0.6, flat(0.5, 0.5, 0.9), resolution=20)
    found, view = changed(mesh, 0.2)
    # One viewpoint beside the photo's, at azimuth -157.5: it sees most of the back, and nothing of the right side.
    few = replace(found, viewpoints=found.viewpoints[:2], before_VSSC=found.before_VSSC[:2])
    few = replace(few, after_VSSC=found.after_VSSC[:2], covered_VSS=found.covered_VSS[:2])
    got = bake(mesh, few, view, RECIPE)
    x, y, z = mesh.normals_N3.T
    unseen = (x > 0.8) & (z < -0.4) & (y < 0) & (y > -0.4)
    assert unseen.any()
    assert (mesh.colors_N3 - got.mesh.colors_N3)[unseen].min() > 0.15
