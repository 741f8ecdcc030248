"""Opening official model folders, with errors that name the file, what was found and what was wanted.

Nothing that a file holds is ever run: weights are safetensors, or pickles read as plain tensors (``weights_only``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lift3d_ray.errors import BundleError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
"""Of files that hold weights, the safe kind first."""
HALVES = "fp16"
"""Middle name of weights that are published in half precision beside the whole ones."""


class Pretrained(Protocol):
    """The loading door that diffusers' and transformers' classes share."""

    def from_pretrained(self, *arguments: Any, **options: Any) -> Any:
        """Build the model from a folder."""
        ...


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The JSON configuration of a model folder.

    Raises:
        BundleError: missing, unreadable or not an object.
    """
    path = folder / name
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: the model folder is incomplete or the path is wrong") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read as JSON ({error}): fetch the model folder again") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path} holds a {type(config).__name__}, wanted an object")
    return config


def takes_depth(unet: Path) -> bool:
    """Whether the UNet of a folder must be told depth: it has channels for it beside the latents'."""
    config = read_config(unet)
    return int(config.get("in_channels", 4)) > int(config.get("out_channels", 4))


def load_pretrained(
    model_class: Pretrained, folder: Path, *, may_lack: tuple[str, ...] = (), **options: object
) -> Any:
    """``model_class.from_pretrained`` on a local folder, float32, nothing fetched, nothing run, nothing guessed.

    The weights are ``*.safetensors``; where there are only ``*.fp16.safetensors``, those; where there are only
    ``*.bin``, those, read as plain tensors. The model comes in evaluation mode, its parameters frozen.

    ``may_lack`` names beginnings of parameters that published files leave out because the class never uses them.
    ``options`` go to ``from_pretrained`` as they are (published classes differ in what they take).

    Raises:
        BundleError: files missing or damaged, or parameters missing, unexpected or of another shape.
    """
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError

    read_config(folder)
    name = getattr(model_class, "__name__", str(model_class))
    kind = _kind_of_weights(folder, name)
    try:
        loaded = model_class.from_pretrained(
            str(folder),
            local_files_only=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
            **kind,
            **options,
        )
    except (OSError, ValueError, RuntimeError, KeyError, EOFError, UnpicklingError, SafetensorError) as error:
        raise BundleError(f"{folder} cannot be loaded as {name}: {error}") from error
    model, info = loaded
    info["missing_keys"] = [key for key in info["missing_keys"] if not str(key).startswith(may_lack)]
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    wrong = {kind: sorted(map(str, info[kind]))[:4] for kind in kinds if info[kind]}
    if wrong:
        raise BundleError(f"{folder} does not hold the parameters of {name}: {wrong}")
    return model.eval().requires_grad_(False)


def _kind_of_weights(folder: Path, name: str) -> dict[str, object]:
    """How ``from_pretrained`` is told which of a folder's files to read."""
    safe = [path for path in folder.glob("*.safetensors")]
    if any(f".{HALVES}." not in path.name for path in safe):
        return {"use_safetensors": True}
    if safe:
        return {"use_safetensors": True, "variant": HALVES}
    if list(folder.glob("*.bin")):
        return {"use_safetensors": False, "weights_only": True}
    raise BundleError(f"{folder} holds no .safetensors file, nor a .bin: {name} needs its weights there")


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The named tensors of a ``.safetensors`` file or of a published pickle (``.pth``, ``.pt``), on the CPU.

    Raises:
        BundleError: missing, damaged, carrying code, or holding something else.
    """
    import zipfile
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise BundleError(f"{path} is missing: the model needs its weights there")
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        # Files of before 2020 are no archives, and cannot be mapped.
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise BundleError(f"{path} is damaged or not a weight file ({error}): fetch it again") from error
    if not (isinstance(state, Mapping) and all(isinstance(value, torch.Tensor) for value in state.values())):
        raise BundleError(f"{path} holds a {type(state).__name__}, wanted named tensors")
    return state
