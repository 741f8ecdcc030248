"""Exams: toys that training never saw, a photo of each, and the truth from all round.

The lift gets the picture and nothing else. Only the judge knows the photo's camera: it says where the asset's world
lies relative to the toy's. The rotation between the two cameras' frames is the identity, and scale and shift follow
from the crop, so a wrongly guessed elevation or zoom is not forgiven in shape, only in placement.

Shape suffixes: V views, S picture side, N points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lift3d_ray.cameras import DEFAULT_RADIUS, Framing, focal_px, orbit_c2w
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.render import render
from lift3d_ray.toybox.world import ToyObject, sample_object
from lift3d_ray.types import Asset, CropMap, Float32, Mesh, Photo, ReferencePose

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


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an asset's photo says it is in the toy's world: the similarity from the asset's world to the toy's.

    Attributes:
        from_asset_33: rotation of the photo's camera in the asset's world.
        to_toy_33: rotation of the same camera in the toy's.
        origin_3: the asset's middle in the photo's camera frame, asset units.
        scale: toy units per asset unit.
    """

    from_asset_33: Float32
    to_toy_33: Float32
    origin_3: Float32
    scale: float

    def points(self, xyz_N3: Float32) -> Float32:
        """Asset points in the toy's world."""
        return np.asarray((xyz_N3 @ self.from_asset_33 - self.origin_3) * self.scale @ self.to_toy_33.T, np.float32)

    def directions(self, directions_N3: Float32) -> Float32:
        """Asset directions in the toy's world."""
        return np.asarray(directions_N3 @ self.from_asset_33 @ self.to_toy_33.T, np.float32)

    def cameras(self, c2w_V44: Float32) -> Float32:
        """The toy world's cameras in the asset's world."""
        moved = c2w_V44.copy()
        turn = self.from_asset_33 @ self.to_toy_33.T
        moved[:, :3, :3] = turn @ c2w_V44[:, :3, :3]
        in_camera = c2w_V44[:, :3, 3] @ self.to_toy_33 / self.scale + self.origin_3
        moved[:, :3, 3] = in_camera @ self.from_asset_33.T
        return moved


def place(crop: CropMap, pose: ReferencePose, exam: Exam) -> Placement:
    """Where the lift of this crop, with this pose, lies in the exam's world."""
    true, guess = crop_framing(crop), pose.framing
    unit = focal_px(2) * guess.focal_scale / DEFAULT_RADIUS
    origin = [(true.shift_x - guess.shift_x) / unit, (true.shift_y - guess.shift_y) / unit, 0.0]
    return Placement(
        from_asset_33=orbit_c2w(0.0, pose.elevation_deg)[0, :3, :3],
        to_toy_33=orbit_c2w(exam.azimuth_deg, exam.elevation_deg)[0, :3, :3],
        origin_3=np.array(origin, dtype=np.float32),
        scale=guess.focal_scale / true.focal_scale,
    )


def in_toy_world(mesh: Mesh, asset: Asset, exam: Exam) -> Mesh:
    """The asset's mesh where its photo says it is in the toy's world."""
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
