"""The class that fills a role, built from its configuration without weights: every name and shape, and no memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lift3d_ray.errors import BundleError, Lift3DError
from lift3d_ray.models.files import read_config

WITHOUT_WEIGHTS = ("tokenizer", "scheduler")
"""Roles that are files of words and numbers."""


def empty_model(role: str, folder: Path) -> nn.Module:
    """The module of a role on the ``meta`` device, in evaluation mode.

    Args:
        role: one that has weights.
        folder: holds its configuration, the official or this project's.

    Raises:
        BundleError: the configuration is missing, or not of a class that fills the role.
    """
    if role not in _BUILDERS:
        raise BundleError(f"the role {role!r} has no weights: choose one of {', '.join(_BUILDERS)}")
    try:
        with torch.device("meta"):
            model = _BUILDERS[role](folder)
    except Lift3DError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{folder} does not describe a {role}: {type(error).__name__}: {error}") from error
    return model.eval().requires_grad_(False)


def transformers_class(role: str, folder: Path) -> Any | None:
    """The transformers class of a role, or None where another library has it."""
    import transformers

    if role == "captioner":
        is_second = read_config(folder).get("model_type") == "blip-2"
        return transformers.Blip2ForConditionalGeneration if is_second else transformers.BlipForConditionalGeneration
    return {
        "depth": transformers.DPTForDepthEstimation,
        "clip": transformers.CLIPModel,
        "image_encoder": transformers.CLIPVisionModel,
        "point_clip": transformers.CLIPVisionModel,
        "text_encoder": transformers.CLIPTextModel,
    }.get(role)


def transformers_config(model_class: Any, folder: Path) -> Any:
    """The configuration in a folder, for that class."""
    read_config(folder)
    return model_class.config_class.from_pretrained(str(folder), local_files_only=True)


def _transformer(role: str) -> Callable[[Path], nn.Module]:
    def build(folder: Path) -> nn.Module:
        from lift3d_ray.models.conv_vision import class_of_folder

        model_class = transformers_class(role, folder)
        built: nn.Module = class_of_folder(model_class, folder)(transformers_config(model_class, folder))
        return built

    return build


def _diffuser(*names: str) -> Callable[[Path], nn.Module]:
    def build(folder: Path) -> nn.Module:
        import diffusers

        config = read_config(folder)
        if config.get("_class_name") not in names:
            raise BundleError(
                f"{folder / 'config.json'} names {config.get('_class_name')!r}, wanted {' or '.join(names)}"
            )
        built: nn.Module = getattr(diffusers, config["_class_name"]).from_config(config)
        return built

    return build


def _segmenter(folder: Path) -> nn.Module:
    from lift3d_ray.models.segmenter import SamConfig, build_sam

    built: nn.Module = build_sam(SamConfig(**_arguments(read_config(folder))))
    return built


def _pose(folder: Path) -> nn.Module:
    from lift3d_ray.models.pose import PoseNetwork

    return PoseNetwork(**_arguments(read_config(folder)))


def _coarse(folder: Path) -> nn.Module:
    from lift3d_ray.models.coarse import CoarseNetwork

    return CoarseNetwork(**_arguments(read_config(folder)))


def _points(folder: Path) -> nn.Module:
    from lift3d_ray.models.point_e.loading import network_config
    from lift3d_ray.models.point_e.transformer import PointTransformer

    facts = read_config(folder)
    return PointTransformer(network_config(facts.get("network", facts)), device="meta")


def _arguments(facts: dict[str, Any]) -> dict[str, Any]:
    """What a ``config.json`` says, as the arguments of a class."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}


_BUILDERS: dict[str, Callable[[Path], nn.Module]] = {
    "segmenter": _segmenter,
    **{role: _transformer(role) for role in ("captioner", "depth", "clip", "image_encoder", "text_encoder")},
    "point_clip": _transformer("point_clip"),
    "vae": _diffuser("AutoencoderKL", "AutoencoderTiny"),
    "unet": _diffuser("UNet2DConditionModel"),
    "view_unet": _diffuser("UNet2DConditionModel"),
    "controlnet": _diffuser("ControlNetModel"),
    "pose": _pose,
    "coarse": _coarse,
    "point_cloud": _points,
    "point_upsampler": _points,
}
