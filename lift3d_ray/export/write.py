"""All files of one asset, in one folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lift3d_ray.errors import ExportError
from lift3d_ray.export.embedded import embedded_bytes
from lift3d_ray.export.files import sha256, write_bytes
from lift3d_ray.export.glb import JsonValue, glb_bytes
from lift3d_ray.export.maps import depth_bytes, mask_bytes, png_bytes, subject_bytes
from lift3d_ray.export.ply import ply_bytes
from lift3d_ray.export.result import FileFacts, Provenance, result_bytes
from lift3d_ray.export.textured_glb import textured_glb_bytes
from lift3d_ray.export.turntable import write_turntable
from lift3d_ray.types import Asset

GLB = "asset.glb"
EMBEDDED_GLB = "asset.glb.js"
POINTS = "points.ply"
TURNTABLE = "turntable.mp4"
PREVIEW = "preview.png"
SUBJECT = "subject.png"
"""The crop that was lifted, its cut-out as alpha: what edits of the asset go by."""
MASK = "mask.png"
DEPTH = "depth.png"
REFERENCE = "reference.png"
"""The picture that was drawn from words; photos are not copied."""
RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class AssetFiles:
    """What was written for one asset.

    Attributes:
        folder: where.
        facts: size and digest by file name, in the order of writing; ``result.json`` comes last.
    """

    folder: Path
    facts: dict[str, FileFacts]


def write_asset(asset: Asset, folder: Path, provenance: Provenance) -> AssetFiles:
    """Writes an asset's files into a local folder, each whole or not at all, ``result.json`` last.

    A folder with a ``result.json`` is therefore complete. One left from an earlier, other run is taken away first, so
    that a folder half rewritten does not pass for done.

    Args:
        asset: what to write.
        folder: made where it is missing; files of the same names in it are replaced.
        provenance: what the asset was made from.

    Raises:
        ExportError: a file cannot be written, or the asset is not fit to be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"cannot write into {folder}: {error.strerror}; check the path and its permissions"
        ) from error
    perception = asset.perception
    extras: dict[str, JsonValue] = {"caption": perception.caption, "seed": asset.seed, "recipe": provenance.recipe}
    name = perception.caption or "asset"
    glb = (
        glb_bytes(asset.mesh, name=name, extras=extras)
        if asset.textured is None
        else textured_glb_bytes(asset.textured, name=name, extras=extras)
    )
    photo_size = (provenance.photo_height_px, provenance.photo_width_px)
    contents: dict[str, Callable[[], bytes]] = {
        GLB: lambda: glb,
        EMBEDDED_GLB: lambda: embedded_bytes(glb),
        POINTS: lambda: ply_bytes(asset.points),
        PREVIEW: lambda: png_bytes(asset.preview_HWC),
    }
    if perception.pictured:
        contents[SUBJECT] = lambda: subject_bytes(perception.subject)
        contents[MASK] = lambda: mask_bytes(perception.subject, *photo_size)
        contents[DEPTH] = lambda: depth_bytes(perception.disparity_HW)
    drawing_HWC = perception.drawing_HWC
    if drawing_HWC is not None:
        contents[REFERENCE] = lambda: png_bytes(drawing_HWC)
    written = [write_bytes(folder / name, content()) for name, content in contents.items()]
    written.append(write_turntable(asset.turntable_VHWC, folder / TURNTABLE))
    facts = {path.name: _facts(path) for path in written}
    facts[RESULT] = _facts(write_bytes(folder / RESULT, result_bytes(asset, provenance, facts)))
    return AssetFiles(folder=folder, facts=facts)


def _facts(path: Path) -> FileFacts:
    return FileFacts(size_bytes=path.stat().st_size, sha256=sha256(path))
