"""Scores of a lift: pictures from all round against the truth, silhouettes, and the distance of the surfaces.

Shape suffixes: V views, S picture side, N points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from skimage.metrics import structural_similarity

from lift3d_ray.evaluate.exams import VIEW_PX, Exam, in_subject_world, place
from lift3d_ray.field.render import render_view
from lift3d_ray.lifting import SettledScene
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.types import Asset, Float32


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over the novel views, and the distance of the surfaces.

    Attributes:
        psnr: dB, of pictures over white.
        ssim: structural similarity.
        iou: of the silhouettes.
        chamfer: mean nearest distance between 4096 surface points, both ways, in radii of the subject's unit ball.
    """

    psnr: float
    ssim: float
    iou: float
    chamfer: float


def score_asset(asset: Asset, exam: Exam) -> Score:
    """Judge the exported mesh."""
    mesh = in_subject_world(asset.mesh, asset, exam)
    views = rasterize(mesh, exam.c2w_V44, size=VIEW_PX)
    got = sample_points(mesh, len(exam.surface_N3), np.random.default_rng(0)).xyz_N3
    return replace(score_views(views.rgb_VHWC, views.alpha_VHW, exam), chamfer=chamfer(got, exam.surface_N3))


def score_field(settled: SettledScene, exam: Exam) -> Score:
    """Judge the field before it becomes a mesh; it has no surface to measure."""
    scene = settled.scene
    cameras = place(scene.perception.subject.crop, scene.pose, exam).cameras(exam.c2w_V44)
    views = [
        render_view(
            settled.fitted.field,
            c2w,
            VIEW_PX,
            sharpness=settled.fitted.sharpness,
            n_samples=settled.fitted.field.resolution,
        )
        for c2w in cameras
    ]
    rgb = np.stack([view.rgb_HW3.cpu().numpy() for view in views])
    return score_views(rgb, np.stack([view.opacity_HW.cpu().numpy() for view in views]), exam)


def score_copy(exam: Exam) -> Score:
    """The floor: the photo itself shown for every view."""
    count = len(exam.c2w_V44)
    return score_views(np.stack([exam.copy_SSC] * count), np.stack([exam.copy_alpha_SS] * count), exam)


def score_nothing(exam: Exam) -> Score:
    """What a lift that failed is worth: an empty picture from every side."""
    return score_views(np.ones_like(exam.rgb_VSSC), np.zeros_like(exam.alpha_VSS), exam)


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
    """Means of several scores, over those that have the figure."""
    return Score(**{name: _mean([getattr(s, name) for s in scores]) for name in Score.__annotations__})


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
