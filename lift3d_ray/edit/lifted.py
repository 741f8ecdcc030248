"""The folder of an asset read back: surface, cut-out, words, depth and camera.

Shape suffixes: S side of the subject's crop.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from lift3d_ray.cameras import Framing, orbit_c2w
from lift3d_ray.edit.glb import read_glb
from lift3d_ray.edit.surface import Surface, read_surface
from lift3d_ray.errors import InputError
from lift3d_ray.export.maps import DEPTH_SCALE
from lift3d_ray.export.write import DEPTH, GLB, REFERENCE, RESULT, SUBJECT
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.types import CropMap, Float32, Perception, ReferencePose, Subject, UInt8


@dataclass(frozen=True, kw_only=True)
class LiftedAsset:
    """An asset that was written by a lift, or by an edit.

    Attributes:
        name: its folder's.
        surface: its surface and colours.
        perception: what the models saw when it was lifted.
        pose: how the photo looks at it.
        photo: name, digest, height_px and width_px of the photo, as recorded.
        selection: what was lifted of the photo.
        glb_sha256: hex digest of its GLB.
    """

    name: str
    surface: Surface
    perception: Perception
    pose: ReferencePose
    photo: dict[str, Any]
    selection: str
    glb_sha256: str

    @property
    def c2w_44(self) -> Float32:
        """(4, 4) float32 the photo's camera."""
        return np.asarray(orbit_c2w(0.0, self.pose.elevation_deg)[0], dtype=np.float32)

    def seen_by(self, subject: Subject) -> PhotoView:
        """A picture of the subject, with the photo's camera."""
        return PhotoView(subject=subject, c2w_44=self.c2w_44, framing=self.pose.framing)


def read_lifted(folder: Path, *, texture_px: int) -> LiftedAsset:
    """Read an asset's folder.

    Args:
        folder: what ``lift``, ``submit`` or ``edit`` wrote for one asset.
        texture_px: side of the texture where the asset has none.

    Raises:
        InputError: no such folder, no asset in it, a damaged one, or one that lacks what an edit needs.
    """
    told = _told(folder)
    glb = _bytes(folder / GLB)
    surface = read_surface(read_glb(glb, name=str(folder / GLB)), texture_px=texture_px)
    try:
        pose, crop = told["pose"], CropMap(**told["subject"]["crop"])
        subject = _subject(folder / SUBJECT, crop, float(told["subject"]["score"]))
        perception = Perception(
            subject=subject,
            caption=str(told["caption"]),
            disparity_HW=_disparity(folder / DEPTH, crop.size_px),
            drawing_HWC=_picture(folder / REFERENCE) if (folder / REFERENCE).exists() else None,
        )
        return LiftedAsset(
            name=folder.resolve().name,
            surface=surface,
            perception=perception,
            pose=ReferencePose(
                elevation_deg=float(pose["elevation_deg"]),
                framing=Framing(**pose["framing"]),
                confidence=float(pose["confidence"]),
            ),
            photo={key: told["photo"][key] for key in ("name", "digest", "height_px", "width_px")},
            selection=str(told["subject"].get("selection", "auto")),
            glb_sha256=hashlib.sha256(glb).hexdigest(),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / RESULT} lacks or garbles what an edit needs ({type(error).__name__}: {error}): "
            "lift the picture again"
        ) from error


def _told(folder: Path) -> dict[str, Any]:
    """What ``result.json`` says of a folder that can be edited."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: wanted the folder of one asset, with its {RESULT}")
    if not (folder / RESULT).is_file():
        found = [path for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{RESULT}")]
        inside = sorted(path.parent.relative_to(folder).as_posix() for path in found)
        hint = f"; assets inside it: {', '.join(inside[:3])}" if inside else ""
        raise InputError(f"{folder} holds no asset ({RESULT} is missing): wanted the folder of one asset{hint}")
    if not (folder / SUBJECT).is_file():
        raise InputError(
            f"{folder} has no {SUBJECT}, which edits go by: it was written by an earlier version of lift3d-ray; "
            "lift the picture again"
        )
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / RESULT} cannot be read: {error}; lift the picture again") from error
    if not isinstance(told, dict):
        raise InputError(f"{folder / RESULT} holds no asset's facts: lift the picture again")
    return told


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; lift the picture again") from error


def _subject(path: Path, crop: CropMap, score: float) -> Subject:
    rgba = _pixels(path)
    if rgba.shape != (crop.size_px, crop.size_px, 4):
        raise InputError(f"{path} has shape {rgba.shape}, wanted {crop.size_px} x {crop.size_px} RGBA: lift again")
    alpha = rgba[..., 3].astype(np.float32) / np.float32(255)
    return Subject(rgb_HWC=np.ascontiguousarray(rgba[..., :3]), alpha_HW=alpha, crop=crop, score=score)


def _disparity(path: Path, size: int) -> Float32:
    levels = _pixels(path)
    if levels.shape != (size, size):
        raise InputError(f"{path} has shape {levels.shape}, wanted {size} x {size}: lift the picture again")
    return np.asarray(levels / DEPTH_SCALE, dtype=np.float32)


def _picture(path: Path) -> UInt8:
    return np.ascontiguousarray(_pixels(path)[..., :3], dtype=np.uint8)


def _pixels(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """A PNG that an export wrote, as it is: photos go another way, which would white out what is transparent."""
    try:
        with PngImagePlugin.PngImageFile(path) as opened:
            return np.asarray(opened)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; lift the picture again") from error
