"""``result.json``: all there is to know about one asset, and the marker that its folder is complete.

The file is written after all others of its folder. Its layout carries a version, ``schema``; additions keep the number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lift3d_ray.export.maps import DEPTH_SCALE
from lift3d_ray.export.version import installed_version
from lift3d_ray.types import Asset, Candidate

SCHEMA = 1
"""Version of the layout of ``result.json``."""

_RECORDED_PACKAGES = ("lift3d-ray", "torch", "diffusers", "transformers", "nerfacc", "numpy", "ray")


@dataclass(frozen=True, kw_only=True)
class EditFacts:
    """What an asset was edited from, where its colours are not those of its lift.

    Attributes:
        asset: name of the folder that was edited.
        glb_sha256: hex digest of its ``asset.glb``.
        caption: what it was.
        prompt: what it became in words, None where a picture said it.
        picture_name: file name of the edited picture, None where words said it.
        picture_digest: hex SHA-256 of that picture's bytes.
        picture_framing: what the picture frames, "crop" or "photo".
    """

    asset: str
    glb_sha256: str
    caption: str
    prompt: str | None = None
    picture_name: str | None = None
    picture_digest: str | None = None
    picture_framing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What an asset was made from, and by what.

    Attributes:
        photo_name: file name or URI of the photo.
        photo_digest: hex SHA-256 of its bytes.
        photo_height_px: rows of the upright photo.
        photo_width_px: its columns.
        recipe: name of the recipe.
        recipe_digest: digest of all its settings.
        bundle: name of the model bundle.
        bundle_digest: digest of its weights.
        selection: what was lifted of the photo: "auto", or "#2" for the second of its things, for one.
        edit: what it was edited from; None for a lift.
        dtype: precision of the shared models, such as ``float16``; None where others held them.
    """

    photo_name: str
    photo_digest: str
    photo_height_px: int
    photo_width_px: int
    recipe: str
    recipe_digest: str
    bundle: str
    bundle_digest: str
    selection: str = "auto"
    edit: EditFacts | None = None
    dtype: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What is recorded of one written file.

    Attributes:
        size_bytes: its length.
        sha256: hex digest of its bytes.
    """

    size_bytes: int
    sha256: str


def result_document(asset: Asset, provenance: Provenance, files: Mapping[str, FileFacts]) -> dict[str, Any]:
    """The content of ``result.json`` as plain JSON values. Figures that are not finite become null.

    Args:
        asset: what was made.
        provenance: what it was made from.
        files: the folder's other files, by name.
    """
    made_by = asdict(provenance)
    subject = asset.perception.subject
    return {
        "schema": SCHEMA,
        "status": "done",
        "caption": asset.perception.caption,
        "seed": asset.seed,
        "photo": {key.removeprefix("photo_"): made_by[key] for key in made_by if key.startswith("photo_")},
        "recipe": {"name": provenance.recipe, "digest": provenance.recipe_digest},
        "bundle": {"name": provenance.bundle, "digest": provenance.bundle_digest},
        "dtype": provenance.dtype,
        "versions": {package: installed_version(package) for package in _RECORDED_PACKAGES},
        "pose": asdict(asset.pose),
        "subject": {"selection": provenance.selection, "score": subject.score, "crop": asdict(subject.crop)},
        "mesh": {"vertices": len(asset.mesh.vertices_N3), "faces": len(asset.mesh.faces_F3)},
        "edit": made_by["edit"],
        "depth": _depth() if asset.perception.pictured else None,
        "metrics": _figures(asset.metrics),
        "losses": _figures(asset.losses),
        "timings_s": _figures(asset.timings_s),
        "remarks": list(asset.remarks),
        "candidates": [_candidate(candidate) for candidate in asset.candidates],
        "files": {name: asdict(facts) for name, facts in sorted(files.items())},
    }


def result_bytes(asset: Asset, provenance: Provenance, files: Mapping[str, FileFacts]) -> bytes:
    """``result_document`` as UTF-8 JSON text."""
    document = result_document(asset, provenance, files)
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _depth() -> dict[str, Any]:
    return {"file": "depth.png", "kind": "relative inverse depth of the crop, nearest = 1", "scale": DEPTH_SCALE}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    values = asdict(candidate)
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def _figures(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in sorted(values.items())}
