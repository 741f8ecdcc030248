"""Opening official model folders, with errors that name the file, what was found and what was wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from lift3d_ray.errors import BundleError


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


def load_pretrained(
    model_class: Pretrained, folder: Path, *, may_lack: tuple[str, ...] = (), **options: object
) -> Any:
    """``model_class.from_pretrained`` on a local folder, float32, safetensors only, nothing fetched, nothing guessed.

    The model comes in evaluation mode, its parameters frozen.

    ``may_lack`` names beginnings of parameters that published files leave out because the class never uses them.
    ``options`` go to ``from_pretrained`` as they are (published classes differ in what they take).

    Raises:
        BundleError: files missing or damaged, or parameters missing, unexpected or of another shape.
    """
    import torch
    from safetensors import SafetensorError

    read_config(folder)
    name = getattr(model_class, "__name__", str(model_class))
    if not list(folder.glob("*.safetensors")):
        raise BundleError(f"{folder} holds no .safetensors file: {name} needs its weights there")
    try:
        loaded = model_class.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise BundleError(f"{folder} cannot be loaded as {name}: {error}") from error
    model, info = loaded
    info["missing_keys"] = [key for key in info["missing_keys"] if not str(key).startswith(may_lack)]
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    wrong = {kind: sorted(map(str, info[kind]))[:4] for kind in kinds if info[kind]}
    if wrong:
        raise BundleError(f"{folder} does not hold the parameters of {name}: {wrong}")
    return model.eval().requires_grad_(False)
