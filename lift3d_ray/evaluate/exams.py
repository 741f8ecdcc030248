"""Exams: toys that training never saw, or models of files, a photo of each, and the truth from all round.

The lift gets the picture and nothing else. Only the judge knows the photo's camera: it says where the asset's world
lies relative to the subject's. The rotation between the two cameras' frames is the identity, and scale and shift follow
from the crop, so a wrongly guessed elevation or zoom is not forgiven in shape, only in placement.

Shape suffixes: V views, S picture side, N points.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, focal_px, orbit_c2w
from lift3d_ray.evaluate.files import SURFACE_POINTS, draw, load_mesh_file
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.world import sample_object
from lift3d_ray.types import Asset, CropMap, Float32, Mesh, Photo, ReferencePose

VIEW_PX = 64
PHOTO_PX = 256
ELEVATIONS_DEG = (5.0, 35.0)
AZIMUTHS = 12
Pictures = tuple[Float32, Float32]
"""(V, S, S, 3) colours over white and (V, S, S) coverage."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """The photo of a subject, and how it looks from all round.

    The subject's world: +Y up, bounding box centred at the origin, farthest point at distance 1.

    Attributes:
        azimuth_deg: of the photo's camera, 0 = from +Z, a toy's front.
        elevation_deg: of the photo's camera.
        photo: the picture over white.
        rgb_VSSC: (24, 64, 64, 3) float32 novel views over white.
        alpha_VSS: (24, 64, 64) float32 their coverage.
        c2w_V44: their cameras in the subject's world.
        copy_SSC: (64, 64, 3) float32 the photo's view at the size of the novel ones.
        copy_alpha_SS: (64, 64) float32 its coverage.
        surface_N3: (4096, 3) float32 points of the subject's surface.
    """

    azimuth_deg: float
    elevation_deg: float
    photo: Photo
    rgb_VSSC: Float32
    alpha_VSS: Float32
    c2w_V44: Float32
    copy_SSC: Float32
    copy_alpha_SS: Float32
    surface_N3: Float32


def make_exam(index: int, *, split: Split = Split.HELD_OUT, class_name: str | None = None) -> Exam:
    """The exam with this number: toy, camera and views follow from it alone."""
    rng = np.random.default_rng([index, 20])
    toy = sample_object(100_000 + index, split=split, class_name=class_name)
    azimuth, elevation = _camera(rng)

    def drawn(c2w_V44: Float32, size: int) -> Pictures:
        views = render(toy, c2w_V44, size=size)
        return views.rgb, views.alpha

    surface_N3, _, _ = surface_points(toy, SURFACE_POINTS, np.random.default_rng([index, 21]))
    digest, name = f"exam-{split.value}-{index}", f"{toy.attributes.class_name}-{index}"
    return _exam(drawn, surface_N3, azimuth, elevation, digest=digest, name=name)


def make_file_exam(path: Path) -> Exam:
    """The exam of a mesh file; its photo is taken from a side that follows from the file's name.

    Raises:
        InputError: the file is no mesh that can be read.
        ConfigError: the reader of mesh files is not installed.
    """
    mesh = load_mesh_file(path)
    azimuth, elevation = _camera(np.random.default_rng([zlib.crc32(path.name.encode()), 20]))
    return _exam(partial(draw, mesh), mesh.surface_N3, azimuth, elevation, digest=f"exam-{path.name}", name=mesh.name)


def _camera(rng: np.random.Generator) -> tuple[float, float]:
    """Azimuth and elevation of a photographer, degrees."""
    return float(rng.uniform(-60, 60)), float(rng.uniform(0, 30))


def _exam(
    drawn: Callable[[Float32, int], Pictures],
    surface_N3: Float32,
    azimuth: float,
    elevation: float,
    *,
    digest: str,
    name: str,
) -> Exam:
    """An exam of whatever can be drawn from V cameras at a size."""
    stand = orbit_c2w(azimuth, elevation)
    shot, _ = drawn(stand, PHOTO_PX)
    copy, copy_alpha = drawn(stand, VIEW_PX)
    turn = azimuth + (np.arange(AZIMUTHS) + 0.5) * 360 / AZIMUTHS
    cameras = np.concatenate([orbit_c2w(turn, high) for high in ELEVATIONS_DEG])
    rgb, alpha = drawn(cameras, VIEW_PX)
    return Exam(
        azimuth_deg=azimuth,
        elevation_deg=elevation,
        photo=Photo(
            rgb_HWC=np.asarray(np.round(shot[0] * 255), dtype=np.uint8), alpha_HW=None, digest=digest, name=name
        ),
        rgb_VSSC=rgb,
        alpha_VSS=alpha,
        c2w_V44=cameras,
        copy_SSC=copy[0],
        copy_alpha_SS=copy_alpha[0],
        surface_N3=surface_N3,
    )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an asset's photo says it is in the subject's world: the similarity from the asset's world to the subject's.

    Attributes:
        from_asset_33: rotation of the photo's camera in the asset's world.
        to_subject_33: rotation of the same camera in the subject's.
        origin_3: the asset's middle in the photo's camera frame, asset units.
        scale: subject units per asset unit.
    """

    from_asset_33: Float32
    to_subject_33: Float32
    origin_3: Float32
    scale: float

    def points(self, xyz_N3: Float32) -> Float32:
        """Asset points in the subject's world."""
        return np.asarray((xyz_N3 @ self.from_asset_33 - self.origin_3) * self.scale @ self.to_subject_33.T, np.float32)

    def directions(self, directions_N3: Float32) -> Float32:
        """Asset directions in the subject's world."""
        return np.asarray(directions_N3 @ self.from_asset_33 @ self.to_subject_33.T, np.float32)

    def cameras(self, c2w_V44: Float32) -> Float32:
        """The subject world's cameras in the asset's world."""
        moved = c2w_V44.copy()
        turn = self.from_asset_33 @ self.to_subject_33.T
        moved[:, :3, :3] = turn @ c2w_V44[:, :3, :3]
        in_camera = c2w_V44[:, :3, 3] @ self.to_subject_33 / self.scale + self.origin_3
        moved[:, :3, 3] = in_camera @ self.from_asset_33.T
        return moved


def place(crop: CropMap, pose: ReferencePose, exam: Exam) -> Placement:
    """Where the lift of this crop, with this pose, lies in the exam's world."""
    true, guess = crop_framing(crop), pose.framing
    unit = focal_px(2) * guess.focal_scale / DEFAULT_RADIUS
    origin = [(true.shift_x - guess.shift_x) / unit, (true.shift_y - guess.shift_y) / unit, 0.0]
    return Placement(
        from_asset_33=orbit_c2w(0.0, pose.elevation_deg)[0, :3, :3],
        to_subject_33=orbit_c2w(exam.azimuth_deg, exam.elevation_deg)[0, :3, :3],
        origin_3=np.array(origin, dtype=np.float32),
        scale=guess.focal_scale / true.focal_scale,
    )


def in_subject_world(mesh: Mesh, asset: Asset, exam: Exam) -> Mesh:
    """The asset's mesh where its photo says it is in the subject's world."""
    placement = place(asset.perception.subject.crop, asset.pose, exam)
    return replace(
        mesh,
        vertices_N3=np.ascontiguousarray(placement.points(mesh.vertices_N3)),
        normals_N3=np.ascontiguousarray(placement.directions(mesh.normals_N3)),
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
