"""Single pictures to 3D assets, thousands at a time, on a Ray cluster or one laptop.

The names below are looked up on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lift3d_ray.edit.editing import edit_by_picture as edit_by_picture
    from lift3d_ray.edit.editing import edit_by_prompt as edit_by_prompt
    from lift3d_ray.edit.lifted import LiftedAsset as LiftedAsset
    from lift3d_ray.edit.lifted import read_lifted as read_lifted
    from lift3d_ray.edit.picture import edited_subject as edited_subject
    from lift3d_ray.edit.settings import picture_recipe as picture_recipe
    from lift3d_ray.edit.settings import prompt_recipe as prompt_recipe
    from lift3d_ray.errors import Lift3DError as Lift3DError
    from lift3d_ray.export.result import Provenance as Provenance
    from lift3d_ray.export.write import write_asset as write_asset
    from lift3d_ray.lifting import SceneTools as SceneTools
    from lift3d_ray.lifting import lift as lift
    from lift3d_ray.lifting import load_tools as load_tools
    from lift3d_ray.models.bundle import Bundle as Bundle
    from lift3d_ray.models.bundle import load_bundle as load_bundle
    from lift3d_ray.models.bundle import load_models as load_models
    from lift3d_ray.models.roles import Models as Models
    from lift3d_ray.models.roles import NoisePredictor as NoisePredictor
    from lift3d_ray.photo import load_photo as load_photo
    from lift3d_ray.photo import read_photo as read_photo
    from lift3d_ray.recipes import Quality as Quality
    from lift3d_ray.recipes import Recipe as Recipe
    from lift3d_ray.recipes import anything_3d as anything_3d
    from lift3d_ray.recipes import make_it_3d as make_it_3d
    from lift3d_ray.subject.select import Selection as Selection
    from lift3d_ray.types import Asset as Asset
    from lift3d_ray.types import Mesh as Mesh
    from lift3d_ray.types import NoisePrediction as NoisePrediction
    from lift3d_ray.types import NoiseQuery as NoiseQuery
    from lift3d_ray.types import Photo as Photo
    from lift3d_ray.types import PointCloud as PointCloud

__version__ = "0.1.0"

__all__ = [
    "Asset",
    "Bundle",
    "Lift3DError",
    "LiftedAsset",
    "Mesh",
    "Models",
    "NoisePrediction",
    "NoisePredictor",
    "NoiseQuery",
    "Photo",
    "PointCloud",
    "Provenance",
    "Quality",
    "Recipe",
    "SceneTools",
    "Selection",
    "__version__",
    "anything_3d",
    "edit_by_picture",
    "edit_by_prompt",
    "edited_subject",
    "lift",
    "load_bundle",
    "load_models",
    "load_photo",
    "load_tools",
    "make_it_3d",
    "picture_recipe",
    "prompt_recipe",
    "read_lifted",
    "read_photo",
    "write_asset",
]

_HOMES = {
    "Asset": "lift3d_ray.types",
    "Bundle": "lift3d_ray.models.bundle",
    "Lift3DError": "lift3d_ray.errors",
    "LiftedAsset": "lift3d_ray.edit.lifted",
    "Mesh": "lift3d_ray.types",
    "Models": "lift3d_ray.models.roles",
    "NoisePrediction": "lift3d_ray.types",
    "NoisePredictor": "lift3d_ray.models.roles",
    "NoiseQuery": "lift3d_ray.types",
    "Photo": "lift3d_ray.types",
    "PointCloud": "lift3d_ray.types",
    "Provenance": "lift3d_ray.export.result",
    "Quality": "lift3d_ray.recipes",
    "Recipe": "lift3d_ray.recipes",
    "SceneTools": "lift3d_ray.lifting",
    "Selection": "lift3d_ray.subject.select",
    "anything_3d": "lift3d_ray.recipes",
    "edit_by_picture": "lift3d_ray.edit.editing",
    "edit_by_prompt": "lift3d_ray.edit.editing",
    "edited_subject": "lift3d_ray.edit.picture",
    "lift": "lift3d_ray.lifting",
    "load_bundle": "lift3d_ray.models.bundle",
    "load_models": "lift3d_ray.models.bundle",
    "load_photo": "lift3d_ray.photo",
    "load_tools": "lift3d_ray.lifting",
    "make_it_3d": "lift3d_ray.recipes",
    "picture_recipe": "lift3d_ray.edit.settings",
    "prompt_recipe": "lift3d_ray.edit.settings",
    "read_lifted": "lift3d_ray.edit.lifted",
    "read_photo": "lift3d_ray.photo",
    "write_asset": "lift3d_ray.export.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
