"""Folders of point cloud networks: this project's own, and the published ``.pt`` files as they are downloaded.

Own: ``config.json`` with the settings of network, diffusion and sampling, and ``model.safetensors``. Published:
``base_40m.pt`` (or another base) and, where there is one, ``upsample_40m.pt``. A folder ``clip`` beside them holds the
CLIP that the pictures are seen by; without it the bundle's own is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.files import read_config
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.point_e.diffusion import Betas, PointDiffusion
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig
from lift3d_ray.models.point_e.sampler import PointESampler, Stage
from lift3d_ray.models.point_e.transformer import PUBLISHED, Condition, PointTransformer, PointTransformerConfig
from lift3d_ray.models.small_network import WEIGHTS, load_weights, save_weights

PUBLISHED_BASES: Mapping[str, str] = MappingProxyType(
    {
        "base_1b.pt": "base1B",
        "base_300m.pt": "base300M",
        "base_40m.pt": "base40M",
        "base_40m_imagevec.pt": "base40M-imagevec",
        "base_40m_textvec.pt": "base40M-textvec",
        "base_40m_uncond.pt": "base40M-uncond",
    }
)
"""Files of the published base networks, the largest first: a folder's first is taken."""
PUBLISHED_UPSAMPLER = "upsample_40m.pt"


def load_point_cloud(folder: Path, *, clip: Path, device: str = "cpu") -> PointESampler:
    """Load the networks of a folder.

    Args:
        folder: of this project's or the published kind.
        clip: the CLIP folder to see pictures by where ``folder`` has none of its own.
        device: torch device.

    Raises:
        BundleError: files missing, damaged, or not fitting one another.
    """
    own_clip = folder / "clip"
    grid = PictureGrid(load_image_encoder(own_clip if own_clip.is_dir() else clip, device=device))
    if (folder / "config.json").exists():
        return PointESampler([load_stage(folder, device=device)], grid)
    bases = [folder / name for name in PUBLISHED_BASES if (folder / name).exists()]
    if not bases:
        raise BundleError(
            f"{folder} holds no point cloud network: wanted config.json and {WEIGHTS}, or one of "
            f"{', '.join(PUBLISHED_BASES)}"
        )
    stages = [published_stage(bases[0], PUBLISHED_BASES[bases[0].name], device=device)]
    if (folder / PUBLISHED_UPSAMPLER).exists():
        stages.append(published_stage(folder / PUBLISHED_UPSAMPLER, "upsample", device=device))
    return PointESampler(stages, grid, published=True)


def save_stage(folder: Path, stage: Stage) -> None:
    """Write the folder that ``load_stage`` reads: large matrices in eight bits, the rest in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "network": asdict(stage.network.config),
        "diffusion": asdict(stage.diffusion),
        "sampling": asdict(stage.sampling),
    }
    (folder / "config.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    save_weights(folder / WEIGHTS, stage.network.state_dict(), eight_bits=True)


def load_stage(folder: Path, *, device: str = "cpu") -> Stage:
    """One network of this project's own.

    Raises:
        BundleError: a file missing, damaged, or not fitting the other.
    """
    from safetensors import SafetensorError

    facts = read_config(folder)
    try:
        network, diffusion = _tuples(facts["network"]), _tuples(facts["diffusion"])
        config = PointTransformerConfig(**{**network, "condition": Condition(network["condition"])})
        return Stage(
            network=_loaded(config, load_weights(folder / WEIGHTS), device),
            diffusion=PointDiffusion(**{**diffusion, "betas": Betas(diffusion["betas"])}),
            sampling=KarrasConfig(**facts["sampling"]),
        )
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, ConfigError, SafetensorError) as error:
        raise BundleError(f"{folder} does not hold a point cloud network: {error}") from error


def published_stage(path: Path, name: str, *, device: str = "cpu") -> Stage:
    """A published network from its ``.pt`` file.

    Args:
        path: the file.
        name: of ``PUBLISHED``.
        device: torch device.

    Raises:
        BundleError: the file is damaged or of another network.
    """
    from pickle import UnpicklingError

    upsampler = bool(PUBLISHED[name].low_res_points)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = _loaded(PUBLISHED[name], state, device)
    except (OSError, RuntimeError, TypeError, AttributeError, EOFError, UnpicklingError) as error:
        raise BundleError(f"{path} does not hold the published {name}: {error}") from error
    return Stage(
        network=network,
        diffusion=PointDiffusion(betas=Betas.LINEAR if upsampler else Betas.COSINE),
        sampling=KarrasConfig(sigma_max=160.0, churn=0.0) if upsampler else KarrasConfig(),
    )


def _loaded(config: PointTransformerConfig, state: dict[str, Tensor], device: str) -> PointTransformer:
    network = PointTransformer(config, device="meta")
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=True, assign=True)
    return network.to(device).eval().requires_grad_(False)


def _tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
