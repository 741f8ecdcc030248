"""Folders of this project's own small networks: ``config.json`` with the arguments of the class, and the weights.

They are asked once a scene and live with it, on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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
    from safetensors.torch import load_file

    facts: dict[str, Any] = read_config(folder)
    try:
        network = build(
            **{name: tuple(map(int, value)) if isinstance(value, list) else int(value) for name, value in facts.items()}
        )
        network.load_state_dict(load_file(str(folder / WEIGHTS)))
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"{folder} does not hold {what}: {error}") from error
    return network


def save_network(folder: Path, network: SmallNetwork) -> None:
    """Write the folder that ``load_network`` reads, half precision."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    save_file(state, str(folder / WEIGHTS))
    (folder / "config.json").write_text(json.dumps(network.facts, indent=1) + "\n", encoding="utf-8")


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
