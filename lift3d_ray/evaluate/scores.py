"""Scores of a lift: pictures from all round against the truth, silhouettes, and the distance of the surfaces.

Shape suffixes: V views, S picture side, N points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from skimage.metrics import structural_similarity

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.evaluate.exams import VIEW_PX, Exam, in_subject_world, place
from lift3d_ray.evaluate.perceptual import PerceptualDistance
from lift3d_ray.field.render import render_view
from lift3d_ray.lifting import SettledScene
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.models.roles import ImageTextEncoder
from lift3d_ray.types import Asset, Float32, UInt8

NOT_KNOWN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Means over the novel views, and more; NaN where a figure is not known.

    Attributes:
        psnr: dB, of pictures over white.
        ssim: structural similarity.
        iou: of the silhouettes.
        chamfer: mean nearest distance between 4096 surface points, both ways, in radii of the subject's unit ball.
        lpips: shift-tolerant LPIPS distance of the pictures; needs weights that are no part of this package.
        clip: cosine of CLIP's vectors of a picture and the truth from the same side.
        front: PSNR at the photo's own view, dB.
        front_lpips: LPIPS there.
    """

    psnr: float
    ssim: float
    iou: float
    chamfer: float = NOT_KNOWN
    lpips: float = NOT_KNOWN
    clip: float = NOT_KNOWN
    front: float = NOT_KNOWN
    front_lpips: float = NOT_KNOWN


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """Networks that compare pictures.

    Attributes:
        clip: pictures to unit vectors.
        perceptual: the LPIPS distance, or None where its weights are not installed.
    """

    clip: ImageTextEncoder
    perceptual: PerceptualDistance | None = None

    def compared(self, score: Score, rgb_VSSC: Float32, exam: Exam) -> Score:
        """The score with what the networks say of these pictures beside the exam's."""
        ours, theirs = (self.clip.encode_images(_bytes(views)) for views in (rgb_VSSC, exam.rgb_VSSC))
        distance = self.distance(rgb_VSSC, exam.rgb_VSSC)
        return replace(score, clip=float((ours * theirs).sum(-1).mean()), lpips=distance)

    def distance(self, ours_VSSC: Float32, theirs_VSSC: Float32) -> float:
        """Mean LPIPS distance of pictures; NaN without the network."""
        return NOT_KNOWN if self.perceptual is None else float(self.perceptual(ours_VSSC, theirs_VSSC).mean())


def _bytes(rgb_VSSC: Float32) -> UInt8:
    return np.asarray(np.round(rgb_VSSC.clip(0, 1) * 255), dtype=np.uint8)


def score_asset(asset: Asset, exam: Exam, eyes: Eyes | None = None) -> Score:
    """Judge the exported mesh."""
    mesh = in_subject_world(asset.mesh, asset, exam)
    views = rasterize(mesh, _all_cameras(exam), size=VIEW_PX)
    got = sample_points(mesh, len(exam.surface_N3), np.random.default_rng(0)).xyz_N3
    score = _score_all(views.rgb_VHWC, views.alpha_VHW, exam, eyes)
    return replace(score, chamfer=chamfer(got, exam.surface_N3))


def score_field(settled: SettledScene, exam: Exam, eyes: Eyes | None = None) -> Score:
    """Judge the field before it becomes a mesh; it has no surface to measure."""
    scene = settled.scene
    cameras = place(scene.perception.subject.crop, scene.pose, exam).cameras(_all_cameras(exam))
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
    return _score_all(rgb, np.stack([view.opacity_HW.cpu().numpy() for view in views]), exam, eyes)


def _all_cameras(exam: Exam) -> Float32:
    """(25, 4, 4): the novel views' and the photo's, which comes last."""
    return np.concatenate([exam.c2w_V44, orbit_c2w(exam.azimuth_deg, exam.elevation_deg)])


def _score_all(rgb_VSSC: Float32, alpha_VSS: Float32, exam: Exam, eyes: Eyes | None) -> Score:
    """Judge the pictures of ``_all_cameras``."""
    novel = rgb_VSSC[:-1]
    score = score_views(novel, alpha_VSS[:-1], exam)
    score = replace(score, front=float(_psnr(rgb_VSSC[-1:], exam.copy_SSC[None])[0]))
    if eyes is None:
        return score
    score = replace(score, front_lpips=eyes.distance(rgb_VSSC[-1:], exam.copy_SSC[None]))
    return eyes.compared(score, novel, exam)


def score_copy(exam: Exam, eyes: Eyes | None = None) -> Score:
    """The floor: the photo itself shown for every view."""
    count = len(exam.c2w_V44)
    rgb = np.stack([exam.copy_SSC] * count)
    score = score_views(rgb, np.stack([exam.copy_alpha_SS] * count), exam)
    return score if eyes is None else eyes.compared(score, rgb, exam)


def score_nothing(exam: Exam) -> Score:
    """What a lift that failed is worth: an empty picture from every side."""
    return score_views(np.ones_like(exam.rgb_VSSC), np.zeros_like(exam.alpha_VSS), exam)


def score_views(rgb_VSSC: Float32, alpha_VSS: Float32, exam: Exam) -> Score:
    """Means over the novel views, of what can be told without further knowledge."""
    similar = [
        structural_similarity(a, b, channel_axis=-1, data_range=1.0)
        for a, b in zip(rgb_VSSC, exam.rgb_VSSC, strict=True)
    ]
    got, true = alpha_VSS > 0.5, exam.alpha_VSS > 0.5
    union = np.logical_or(got, true).sum(axis=(1, 2))
    iou = np.logical_and(got, true).sum(axis=(1, 2)) / np.maximum(union, 1)
    return Score(
        psnr=float(np.mean(_psnr(rgb_VSSC, exam.rgb_VSSC))),
        ssim=float(np.mean(similar)),
        iou=float(iou.mean()),
    )


def _psnr(rgb_VSSC: Float32, truth_VSSC: Float32) -> Float32:
    """(V,) peak signal-to-noise ratios of pictures in [0, 1], dB; at most 100."""
    error = ((rgb_VSSC - truth_VSSC) ** 2).mean(axis=(1, 2, 3))
    return np.asarray(-10 * np.log10(np.maximum(error, 1e-10)), dtype=np.float32)


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
    return float(np.mean(known)) if known else NOT_KNOWN
