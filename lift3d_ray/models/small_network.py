"""Folders of this project's own small networks: ``config.json`` with the arguments of the class, and the weights.

They are asked once a scene and live with it, on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lift3d_ray.errors import BundleError
from lift3d_ray.models.files import read_config
from lift3d_ray.types import UInt8

WEIGHTS = "model.safetensors"
_SCALE = ".scale"
_LEVELS = 127
_FEWEST = 1024


class SmallNetwork(Protocol):
    """A module that remembers what it was built with."""

    facts: dict[str, object]

    def state_dict(self) -> dict[str, Tensor]:
        """Its weights."""
        ...


_Network = TypeVar("_Network", bound=nn.Module)


def load_network(folder: Path, build: Callable[..., _Network], what: str) -> _Network:
    """Build a network from its folder, float32.

    Args:
        folder: as ``save_network`` left it.
        build: the class, taking what ``config.json`` names: whole numbers and lists of them.
        what: its name for people, such as "a pose regressor".

    Raises:
        BundleError: a file missing, damaged, or not fitting the other.
    """
    from safetensors import SafetensorError

    facts: dict[str, Any] = read_config(folder)
    try:
        network = build(
            **{name: tuple(map(int, value)) if isinstance(value, list) else int(value) for name, value in facts.items()}
        )
        network.load_state_dict(load_weights(folder / WEIGHTS))
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"{folder} does not hold {what}: {error}") from error
    return network


def save_network(folder: Path, network: SmallNetwork, *, eight_bits: bool = False) -> None:
    """Write the folder that ``load_network`` reads; precision as of ``save_weights``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, network.state_dict(), eight_bits=eight_bits)
    (folder / "config.json").write_text(json.dumps(network.facts, indent=1) + "\n", encoding="utf-8")


def save_weights(path: Path, state: Mapping[str, Tensor], *, eight_bits: bool = False) -> None:
    """Write weights as safetensors.

    Args:
        path: the file.
        state: the weights by name.
        eight_bits: write what has rows and more than a thousand numbers as whole numbers within +-127, each row with
            its own scale, which errs by up to 0.4 % of the row's largest; otherwise all in half precision.
    """
    from safetensors.torch import save_file

    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if eight_bits and value.ndim >= 2 and value.numel() > _FEWEST:
            packed[name], packed[name + _SCALE] = _in_eight_bits(value.detach())
        else:
            packed[name] = value.detach().half().contiguous()
    save_file(packed, str(path))


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights that ``save_weights`` wrote, in half or, where they lay in eight bits, single precision, on the CPU.

    Raises:
        OSError: there is no such file.
        SafetensorError: it is damaged.
        KeyError: whole numbers without their scales.
    """
    from safetensors.torch import load_file

    packed = load_file(str(path))
    return {
        name: _from_eight_bits(value, packed[name + _SCALE]) if value.dtype is torch.int8 else value
        for name, value in packed.items()
        if not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in packed)
    }


def _in_eight_bits(value: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of the same shape, and (rows,) what one of them is worth."""
    rows = value.float().flatten(1)
    scale = (rows.abs().amax(1) / _LEVELS).clamp(min=1e-12)
    levels = (rows / scale[:, None]).round().clamp(-_LEVELS, _LEVELS).to(torch.int8)
    return levels.reshape(value.shape).contiguous(), scale.contiguous()


def _from_eight_bits(levels: Tensor, scale: Tensor) -> Tensor:
    return (levels.float().flatten(1) * scale[:, None]).reshape(levels.shape)


def one_picture(rgb_HWC: UInt8) -> Tensor:
    """(1, 3, S, S) float32 in [0, 1] of a (S, S, 3) uint8 picture.

    Raises:
        ValueError: it is something else.
    """
    if rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3 or rgb_HWC.dtype != np.uint8:
        raise ValueError(f"wanted a (S, S, 3) uint8 picture, got {rgb_HWC.shape} {rgb_HWC.dtype}")
    return torch.from_numpy(rgb_HWC.astype(np.float32) / 255).permute(2, 0, 1)[None]


def at_side(images_B3HW: Tensor, side: int) -> Tensor:
    """The pictures averaged to (B, 3, side, side)."""
    return interpolate(images_B3HW, size=[side, side], mode="area")
