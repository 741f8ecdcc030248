"""Measuring lifts against toys that training never saw: pictures from all round, silhouettes, and shape.

The lift gets the picture and nothing else. Only the judge knows the photo's camera: it says where the asset's world
lies relative to the toy's. The rotation between the two cameras' frames is the identity, and scale and shift follow
from the crop, so a wrongly guessed elevation or zoom is not forgiven in shape, only in placement.

Shape suffixes: V views, S picture side, N points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from skimage.metrics import structural_similarity

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, focal_px, orbit_c2w
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.world import ToyObject, sample_object
from lift3d_ray.types import Asset, CropMap, Float32, Mesh, Photo

VIEW_PX = 64
PHOTO_PX = 256
ELEVATIONS_DEG = (5.0, 35.0)
AZIMUTHS = 12


@dataclass(frozen=True, kw_only=True)
class Exam:
    """A toy, the photo of it, and how it looks from all round.

    Attributes:
        toy: the toy.
        azimuth_deg: of the photo's camera, 0 = the toy's front.
        elevation_deg: of the photo's camera.
        photo: the picture over white.
        rgb_VSSC: (24, 64, 64, 3) float32 novel views over white.
        alpha_VSS: (24, 64, 64) float32 their coverage.
        c2w_V44: their cameras in the toy's world.
    """

    toy: ToyObject
    azimuth_deg: float
    elevation_deg: float
    photo: Photo
    rgb_VSSC: Float32
    alpha_VSS: Float32
    c2w_V44: Float32


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over the novel views, and the distance of the surfaces.

    Attributes:
        psnr: dB, of pictures over white.
        ssim: structural similarity.
        iou: of the silhouettes.
        chamfer: mean nearest distance between 4096 surface points, both ways, in radii of the toy's unit ball.
    """

    psnr: float
    ssim: float
    iou: float
    chamfer: float


def make_exam(index: int, *, split: Split = Split.HELD_OUT, class_name: str | None = None) -> Exam:
    """The exam with this number: toy, camera and views follow from it alone."""
    rng = np.random.default_rng([index, 20])
    toy = sample_object(100_000 + index, split=split, class_name=class_name)
    azimuth, elevation = float(rng.uniform(-60, 60)), float(rng.uniform(0, 30))
    shot = render(toy, orbit_c2w(azimuth, elevation), size=PHOTO_PX)
    photo = Photo(
        rgb_HWC=np.asarray(np.round(shot.rgb[0] * 255), dtype=np.uint8),
        alpha_HW=None,
        digest=f"exam-{split.value}-{index}",
        name=f"{toy.attributes.class_name}-{index}",
    )
    turn = azimuth + (np.arange(AZIMUTHS) + 0.5) * 360 / AZIMUTHS
    cameras = np.concatenate([orbit_c2w(turn, high) for high in ELEVATIONS_DEG])
    views = render(toy, cameras, size=VIEW_PX)
    return Exam(
        toy=toy,
        azimuth_deg=azimuth,
        elevation_deg=elevation,
        photo=photo,
        rgb_VSSC=views.rgb,
        alpha_VSS=views.alpha,
        c2w_V44=cameras,
    )


def in_toy_world(mesh: Mesh, asset: Asset, exam: Exam) -> Mesh:
    """The asset's mesh where its photo says it is in the toy's world."""
    true = crop_framing(asset.perception.subject.crop)
    guess = asset.pose.framing
    scale = guess.focal_scale / true.focal_scale
    unit_px = focal_px(2)
    origin = np.array(
        [
            (true.shift_x - guess.shift_x) / (unit_px * guess.focal_scale) * DEFAULT_RADIUS,
            (true.shift_y - guess.shift_y) / (unit_px * guess.focal_scale) * DEFAULT_RADIUS,
            0.0,
        ],
        dtype=np.float32,
    )
    from_asset = orbit_c2w(0.0, asset.pose.elevation_deg)[0, :3, :3]
    to_toy = orbit_c2w(exam.azimuth_deg, exam.elevation_deg)[0, :3, :3]
    vertices = (mesh.vertices_N3 @ from_asset - origin) * scale @ to_toy.T
    normals = mesh.normals_N3 @ from_asset @ to_toy.T
    return replace(
        mesh,
        vertices_N3=np.ascontiguousarray(vertices, dtype=np.float32),
        normals_N3=np.ascontiguousarray(normals, dtype=np.float32),
    )


def crop_framing(crop: CropMap, photo_px: int = PHOTO_PX) -> Framing:
    """How a crop of a canonical picture is framed."""
    zoom = photo_px / crop.side_px
    middle_x, middle_y = crop.x0_px + crop.side_px / 2, crop.y0_px + crop.side_px / 2
    return Framing(
        focal_scale=zoom,
        shift_x=-(middle_x / (photo_px / 2) - 1) * zoom,
        shift_y=(middle_y / (photo_px / 2) - 1) * zoom,
    )


def score_asset(asset: Asset, exam: Exam) -> Score:
    """Judge the exported mesh."""
    mesh = in_toy_world(asset.mesh, asset, exam)
    views = rasterize(mesh, exam.c2w_V44, size=VIEW_PX)
    rng = np.random.default_rng(0)
    truth, _, _ = surface_points(exam.toy, 4096, rng)
    got = sample_points(mesh, 4096, rng).xyz_N3
    return replace(score_views(views.rgb_VHWC, views.alpha_VHW, exam), chamfer=chamfer(got, truth))


def score_copy(exam: Exam) -> Score:
    """The floor: the photo itself shown for every view."""
    shot = render(exam.toy, orbit_c2w(exam.azimuth_deg, exam.elevation_deg), size=VIEW_PX)
    count = len(exam.c2w_V44)
    return score_views(np.repeat(shot.rgb, count, axis=0), np.repeat(shot.alpha, count, axis=0), exam)


def score_views(rgb_VSSC: Float32, alpha_VSS: Float32, exam: Exam) -> Score:
    """Means over the novel views; the distance of surfaces is left NaN."""
    error = ((rgb_VSSC - exam.rgb_VSSC) ** 2).mean(axis=(1, 2, 3))
    similar = [
        structural_similarity(a, b, channel_axis=-1, data_range=1.0)
        for a, b in zip(rgb_VSSC, exam.rgb_VSSC, strict=True)
    ]
    got, true = alpha_VSS > 0.5, exam.alpha_VSS > 0.5
    union = np.logical_or(got, true).sum(axis=(1, 2))
    iou = np.logical_and(got, true).sum(axis=(1, 2)) / np.maximum(union, 1)
    return Score(
        psnr=float(np.mean(-10 * np.log10(np.maximum(error, 1e-10)))),
        ssim=float(np.mean(similar)),
        iou=float(iou.mean()),
        chamfer=float("nan"),
    )


def chamfer(a_N3: Float32, b_N3: Float32) -> float:
    """Mean of the nearest distances from a to b and from b to a, halved."""
    to_b, _ = cKDTree(b_N3).query(a_N3)
    to_a, _ = cKDTree(a_N3).query(b_N3)
    return float((to_b.mean() + to_a.mean()) / 2)


def mean_score(scores: list[Score]) -> Score:
    """Means of several scores."""
    return Score(**{name: float(np.mean([getattr(s, name) for s in scores])) for name in Score.__annotations__})


def run_exams(
    count: int, lifted: Callable[[Exam], Asset], *, told: Callable[[Exam, Asset, Score], None]
) -> tuple[Score, Score]:
    """Lift and judge exams 0 .. count-1.

    Returns:
        Mean score of the assets, and of copying the photo.
    """
    scores, copies = [], []
    for index in range(count):
        exam = make_exam(index)
        asset = lifted(exam)
        scores.append(score_asset(asset, exam))
        copies.append(score_copy(exam))
        told(exam, asset, scores[-1])
    return mean_score(scores), mean_score(copies)
