"""Folders of point cloud networks: this project's own, and the published ``.pt`` files as they are downloaded.

Own: ``config.json`` with the settings of network, diffusion and sampling, and ``model.safetensors``. Published: the
``.pt`` file of a base network and, there or in a folder of its own, that of the upsampler; which is which, and how
large, is read off their shapes. A folder ``clip`` beside them holds the CLIP that the pictures are seen by; without it
the bundle's own is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.files import read_config, read_weights
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.point_e.diffusion import Betas, PointDiffusion
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.karras import KarrasConfig
from lift3d_ray.models.point_e.sampler import PointESampler, Stage
from lift3d_ray.models.point_e.transformer import Condition, PointTransformer, PointTransformerConfig
from lift3d_ray.models.small_network import WEIGHTS, load_weights, save_weights

HEAD_WIDTH = 64
"""Width of an attention head of every published network: what its shapes do not say."""


def load_point_cloud(
    folder: Path, *, clip: Path, upsampler: Path | None = None, device: str = "cpu"
) -> PointESampler:
    """Load the networks of a folder.

    Args:
        folder: of this project's or the published kind.
        clip: the CLIP folder to see pictures by where ``folder`` has none of its own.
        upsampler: folder of the published upsampler where ``folder`` has none of its own.
        device: torch device.

    Raises:
        BundleError: files missing, damaged, or not fitting one another.
    """
    own_clip = folder / "clip"
    grid = PictureGrid(load_image_encoder(own_clip if own_clip.is_dir() else clip, device=device))
    if (folder / "config.json").exists():
        return PointESampler([load_stage(folder, device=device)], grid)
    places = [folder] if upsampler is None else [folder, upsampler]
    stages = [published_stage(path, device=device) for place in places for path in sorted(place.glob("*.pt"))]
    bases = [stage for stage in stages if not stage.network.config.low_res_points]
    if not bases:
        raise BundleError(
            f"{folder} holds no point cloud network: wanted config.json and {WEIGHTS}, or the .pt file of a "
            "published base network"
        )
    if len(bases) > 1 or len(stages) > 2:
        raise BundleError(
            f"{', '.join(map(str, places))} hold {len(bases)} base networks and {len(stages) - len(bases)} upsamplers: "
            "leave one of each"
        )
    return PointESampler(sorted(stages, key=lambda stage: stage.network.config.low_res_points), grid, published=True)


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
        diffusion = _tuples(facts["diffusion"])
        return Stage(
            network=_loaded(network_config(facts["network"]), load_weights(folder / WEIGHTS), device),
            diffusion=PointDiffusion(**{**diffusion, "betas": Betas(diffusion["betas"])}),
            sampling=KarrasConfig(**facts["sampling"]),
        )
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, ConfigError, SafetensorError) as error:
        raise BundleError(f"{folder} does not hold a point cloud network: {error}") from error


def published_stage(path: Path, *, device: str = "cpu") -> Stage:
    """A published network from its ``.pt`` file, which says its sizes by its shapes.

    Raises:
        BundleError: the file is damaged or of another network.
    """
    state = read_weights(path)
    try:
        config = checkpoint_config(state)
        network = _loaded(config, state, device)
    except (KeyError, ValueError, RuntimeError, ConfigError) as error:
        raise BundleError(f"{path} does not hold a published point cloud network: {error}") from error
    upsampler = bool(config.low_res_points)
    return Stage(
        network=network,
        diffusion=PointDiffusion(betas=Betas.LINEAR if upsampler else Betas.COSINE),
        sampling=KarrasConfig(sigma_max=160.0, churn=0.0) if upsampler else KarrasConfig(),
    )


def checkpoint_config(state: Mapping[str, Tensor]) -> PointTransformerConfig:
    """The sizes of a published network.

    The published ones draw 1024 points, or 3072 from 1024, which leaves no trace in the shapes.

    Args:
        state: its tensors by name.

    Raises:
        KeyError: they are of no such network.
    """
    width = len(state["input_proj.weight"])
    blocks = {name.split(".")[2] for name in state if name.startswith("backbone.resblocks.")}
    sizes: dict[str, Any] = {"width": width, "layers": len(blocks), "heads": max(1, width // HEAD_WIDTH)}
    if "clip_embed.weight" in state:
        told = {"condition": Condition.VECTOR, "condition_width": state["clip_embed.weight"].shape[1]}
        sizes |= {**told, "condition_tokens": 1}
    elif "clip_embed.0.weight" in state:
        sizes |= {"condition": Condition.GRID, "condition_width": len(state["clip_embed.0.weight"])}
    else:
        sizes |= {"condition": Condition.NONE}
    if "cond_point_proj.weight" in state:
        scales = {name: tuple(state[name].tolist()) for name in ("channel_scales", "channel_biases")}
        sizes |= {"points": 3072, "low_res_points": 1024, **scales}
    return PointTransformerConfig(**sizes)


def network_config(facts: Mapping[str, Any]) -> PointTransformerConfig:
    """The sizes of a network as a ``config.json`` has them."""
    return PointTransformerConfig(**{**_tuples(facts), "condition": Condition(facts["condition"])})


def _loaded(config: PointTransformerConfig, state: Mapping[str, Tensor], device: str) -> PointTransformer:
    network = PointTransformer(config, device="meta")
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=True, assign=True)
    return network.to(device).eval().requires_grad_(False)


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
