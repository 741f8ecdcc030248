from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, orbit_c2w
from lift3d_ray.errors import ConfigError
from lift3d_ray.mesh.colors import color_mesh, paint_field, project_photo, refine_seen
from lift3d_ray.mesh.geometry import is_watertight, unit
from lift3d_ray.mesh.photo_view import PhotoPaint, PhotoView, clean_rim, photo_weights, sample
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.types import Float32, Mesh
from tests.mesh.shapes import ball, flat, joined, photographed

RED, BLUE, GREEN = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (0.1, 0.8, 0.2)


def facing(mesh: Mesh, c2w_44: Float32) -> Float32:
    return np.asarray((mesh.normals_N3 * unit(c2w_44[:3, 3] - mesh.vertices_N3)).sum(-1))


@pytest.mark.parametrize(
    ("azimuth", "elevation", "framing"),
    [(0.0, 0.0, Framing()), (70.0, 30.0, Framing()), (0.0, 20.0, Framing(focal_scale=1.2, shift_x=0.1, shift_y=-0.15))],
)
def test_the_photo_colours_what_it_sees_and_nothing_else(azimuth: float, elevation: float, framing: Framing) -> None:
    c2w = orbit_c2w(azimuth, elevation)[0]
    subject = photographed(ball(0.7, flat(*RED)), c2w, framing=framing)
    field = ball(0.7, flat(*BLUE))
    mesh = project_photo(field, PhotoView(subject=subject, c2w_44=c2w, framing=framing))
    cosine = facing(mesh, c2w)
    assert mesh.colors_N3[cosine > 0.36] == pytest.approx(
        np.broadcast_to(RED, (int((cosine > 0.36).sum()), 3)), abs=0.004
    )
    assert np.array_equal(mesh.colors_N3[cosine < 0.09], field.colors_N3[cosine < 0.09])
    between = mesh.colors_N3[(cosine > 0.15) & (cosine < 0.3)]
    assert (between[:, 0] > BLUE[0]).all()
    assert (between[:, 0] < RED[0]).all()


def test_the_colours_land_where_the_photo_shows_them() -> None:
    def quarters(xyz: Float32) -> Float32:
        return np.stack([xyz[:, 0] > 0, xyz[:, 1] > 0, np.full(len(xyz), False)], axis=1).astype(np.float32)

    c2w = orbit_c2w(30, 20)[0]
    truth = ball(0.7, quarters)
    mesh = project_photo(ball(0.7), PhotoView(subject=photographed(truth, c2w, size=256), c2w_44=c2w))
    clear = (np.abs(mesh.vertices_N3[:, :2]).min(axis=1) > 0.08) & (facing(mesh, c2w) > 0.4)
    assert clear.sum() > 200
    assert mesh.colors_N3[clear] == pytest.approx(truth.colors_N3[clear], abs=0.01)


def test_a_hidden_part_keeps_its_own_colours() -> None:
    front, back = ball(0.25, centre=(0, 0, 0.6)), ball(0.5, centre=(0, 0, -0.3))
    c2w = orbit_c2w(0, 0)[0]
    photo = photographed(joined(replace(front, colors_N3=front.colors_N3 * 0 + RED), back), c2w, size=192)
    mesh = joined(front, back)
    weight = photo_weights(mesh, PhotoView(subject=photo, c2w_44=c2w))
    behind = weight[len(front.vertices_N3) :]
    # The front ball's shadow, as cast from the camera: everything of the back ball inside that cone is hidden.
    from_eye = back.vertices_N3 - c2w[:3, 3]
    slope = np.linalg.norm(from_eye[:, :2], axis=1) / -from_eye[:, 2]
    cone = 0.25 / np.sqrt((DEFAULT_RADIUS - 0.6) ** 2 - 0.25**2)
    hidden, open_to_view = slope < cone, (slope > 1.15 * cone) & (facing(back, c2w) > 0.4)
    assert hidden.sum() > 50
    assert behind[hidden].max() == 0
    assert open_to_view.sum() > 20
    assert behind[open_to_view].min() > 0.9
    assert weight[: len(front.vertices_N3)][facing(front, c2w) > 0.4].min() > 0.9


def test_the_background_does_not_bleed_in_at_the_rim() -> None:
    c2w = orbit_c2w(0, 0)[0]
    subject = photographed(ball(0.7, flat(*RED)), c2w, background=(0, 255, 0))
    # A mesh a little too large reaches over the cut-out's rim, as fitted ones do.
    mesh = project_photo(ball(0.72, flat(*RED)), PhotoView(subject=subject, c2w_44=c2w))
    assert mesh.colors_N3[:, 1].max() < RED[1] + 0.02


def test_thin_parts_keep_their_own_pixels() -> None:
    c2w = orbit_c2w(0, 0)[0]
    subject = photographed(ball(0.7, flat(*RED)), c2w, size=200)
    alpha = np.zeros_like(subject.alpha_HW)
    alpha[60:140, 60:140] = 1
    alpha[10:60, 99:101] = 1
    rgb = np.zeros_like(subject.rgb_HWC)
    rgb[60:140, 60:140] = (0, 0, 255)
    rgb[10:60, 99:101] = (255, 255, 0)
    cleaned = clean_rim(replace(subject, rgb_HWC=rgb, alpha_HW=alpha), 0.01)
    assert cleaned[20, 99] == pytest.approx([1, 1, 0])
    assert cleaned[138, 62] == pytest.approx([0, 0, 1])
    assert cleaned[160, 100] == pytest.approx([0, 0, 1])


def test_an_empty_cut_out_changes_nothing() -> None:
    c2w = orbit_c2w(0, 0)[0]
    subject = photographed(ball(0.7, flat(*RED)), c2w)
    field = ball(0.7, flat(*BLUE))
    empty = replace(subject, alpha_HW=np.zeros_like(subject.alpha_HW))
    mesh = project_photo(field, PhotoView(subject=empty, c2w_44=c2w))
    assert mesh.colors_N3 == pytest.approx(field.colors_N3, abs=1e-6)


def stripes(xyz: Float32) -> Float32:
    on = (np.floor(xyz[:, 0] * 12) % 2 == 0)[:, None]
    return np.where(on, np.array(RED), np.array(GREEN)).astype(np.float32)


def test_refinement_makes_the_photo_sharp_where_it_has_detail() -> None:
    c2w = orbit_c2w(0, 0)[0]
    truth = ball(0.7, stripes, resolution=160)
    subject = photographed(truth, c2w, size=192)
    coarse = ball(0.7, resolution=24)
    view = PhotoView(subject=subject, c2w_44=c2w)
    paint = PhotoPaint(vertex_budget=20_000)
    fine = color_mesh(coarse.vertices_N3, coarse.faces_F3, flat(*BLUE), view, paint=paint)
    assert is_watertight(fine.faces_F3)
    assert len(coarse.vertices_N3) < len(fine.vertices_N3) <= 20_000
    wanted = subject.rgb_HWC.astype(np.float32) / 255
    errors = []
    for mesh in (project_photo(coarse, view), fine):
        shown = rasterize(mesh, c2w[None], size=192).rgb_VHWC[0]
        errors.append(float(np.abs(shown - wanted)[60:132, 60:132].mean()))
    assert errors[1] < 0.4 * errors[0]
    new = fine.vertices_N3[len(coarse.vertices_N3) :]
    assert new[:, 2].min() > -0.1  # none of them behind


def test_a_plain_photo_asks_for_no_refinement() -> None:
    c2w = orbit_c2w(0, 0)[0]
    mesh = ball(0.7, resolution=24)
    subject = photographed(ball(0.7, flat(*RED)), c2w)
    assert refine_seen(mesh, PhotoView(subject=subject, c2w_44=c2w)) is mesh


def test_the_vertex_budget_holds() -> None:
    c2w = orbit_c2w(0, 0)[0]
    coarse = ball(0.7, resolution=24)
    view = PhotoView(subject=photographed(ball(0.7, stripes, resolution=96), c2w), c2w_44=c2w)
    budget = len(coarse.vertices_N3) + 100
    assert len(refine_seen(coarse, view, PhotoPaint(vertex_budget=budget)).vertices_N3) == budget
    assert refine_seen(coarse, view, PhotoPaint(vertex_budget=10)) is coarse


def test_field_colours_are_clipped_and_checked() -> None:
    mesh = ball(0.5, resolution=16)
    odd = paint_field(mesh.vertices_N3, mesh.faces_F3, lambda xyz: np.where(xyz > 0, np.float32(np.nan), np.float32(7)))
    assert set(np.unique(odd.colors_N3)) == {np.float32(0.5), np.float32(1.0)}
    with pytest.raises(ValueError, match="color_at must answer"):
        paint_field(mesh.vertices_N3, mesh.faces_F3, lambda xyz: xyz[:, :2])


def test_samples_are_bilinear_about_pixel_centres() -> None:
    picture = np.array([[[0.0], [1.0]], [[2.0], [3.0]]], np.float32)
    places = np.array([[0.5, 0.5], [1.5, 0.5], [1.0, 1.0], [0.5, 1.25], [-9, -9], [9, 9]], np.float32)
    assert sample(picture, places)[:, 0] == pytest.approx([0, 1, 1.5, 1.5, 0, 3])


@pytest.mark.parametrize(
    ("field", "value"),
    [("vertex_budget", -1), ("detail", 0.0), ("grazing_cos", (0.5, 0.2)), ("rim", 0.6)],
)
def test_paint_refuses_nonsense_in_words(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(PhotoPaint(), **{field: value})  # type: ignore[arg-type]
