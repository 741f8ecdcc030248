"""Opening the tokenizer and the image processor of an official model folder.

transformers answers a missing vocabulary with an *empty* tokenizer and a damaged one with a bare ``Exception``; here
both are a ``BundleError`` that names the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lift3d_ray.errors import BundleError
from lift3d_ray.models.files import Pretrained, read_config

if TYPE_CHECKING:
    from torch import Tensor


def load_tokenizer(tokenizer_class: Pretrained, folder: Path, *, files: tuple[str, ...], vocab_size: int) -> Any:
    """``tokenizer_class.from_pretrained`` on a local folder.

    Args:
        tokenizer_class: an official tokenizer class.
        folder: holds either ``tokenizer.json`` or all of ``files``.
        files: the class's own vocabulary files.
        vocab_size: rows of the model's embedding table.

    Raises:
        BundleError: files missing or damaged, or more tokens than the model knows.
    """
    name = getattr(tokenizer_class, "__name__", str(tokenizer_class))
    present = ("tokenizer.json",) if (folder / "tokenizer.json").is_file() else files
    for file in present:
        _check_readable(folder / file, name, "tokenizer.json or " + " and ".join(files))
    tokenizer: Any = tokenizer_class.from_pretrained(str(folder), local_files_only=True)
    if len(tokenizer) > vocab_size:
        raise BundleError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens and the model an embedding of {vocab_size}: "
            "they are of different models; fetch the folder again"
        )
    return tokenizer


def load_image_processor(processor_class: Pretrained, folder: Path) -> Any:
    """``processor_class.from_pretrained`` on a local folder.

    Raises:
        BundleError: ``preprocessor_config.json`` missing, damaged, or without a three-channel mean and deviation.
    """
    config = read_config(folder, "preprocessor_config.json")
    for key in ("image_mean", "image_std"):
        values = config.get(key)
        if not (isinstance(values, list) and len(values) == 3 and all(isinstance(v, int | float) for v in values)):
            raise BundleError(f"{folder / 'preprocessor_config.json'} has {key} = {values!r}, wanted three numbers")
    return processor_class.from_pretrained(str(folder), local_files_only=True)


def normalize_pixels(images_B3HW: Tensor, processor: Any) -> Tensor:
    """Pictures in [0, 1] with an official image processor's mean and deviation taken out."""
    mean = images_B3HW.new_tensor(processor.image_mean)[:, None, None]
    std = images_B3HW.new_tensor(processor.image_std)[:, None, None]
    return (images_B3HW - mean) / std


def _check_readable(path: Path, tokenizer: str, wanted: str) -> None:
    if path.suffix == ".json":
        if not read_config(path.parent, path.name):
            raise BundleError(f"{path} is empty: {tokenizer} needs its words there")
        return
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: {tokenizer} needs {wanted}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read as text ({error}): fetch the model folder again") from error
    if not text.strip():
        raise BundleError(f"{path} is empty: {tokenizer} needs its words there")
