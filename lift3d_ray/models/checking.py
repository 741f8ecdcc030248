"""Whether a bundle's files are what its roles need: opened, measured, compared by name and shape, and run once.

Names and shapes are compared without reading a number: the files' headers against the class, built from its
configuration without weights, and for what was pulled from this project's copy of the official one, not from the file
that came with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lift3d_ray.errors import BundleError, Lift3DError
from lift3d_ray.models.blueprints import WITHOUT_WEIGHTS, empty_model, transformers_class, transformers_config
from lift3d_ray.models.bundle import Bundle
from lift3d_ray.models.catalog import ModelEntry, model_entry
from lift3d_ray.models.download import file_sha256
from lift3d_ray.models.files import HALVES, WEIGHT_SUFFIXES, read_config, read_weights
from lift3d_ray.models.weights import PULLED, home_of, pulled_facts

NOT_USED = (PULLED, "training.json", "README.md")
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one file, or of one role in use.

    Attributes:
        role: whose.
        subject: the file's path, or what was done.
        detail: what it is, where it is right.
        fault: what is wrong, expected and found; None where nothing is.
    """

    role: str
    subject: str
    detail: str = ""
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class TensorFact:
    """A tensor in a file.

    Attributes:
        file: which file.
        shape: its shape.
        dtype: its precision, as torch names it.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str


def check_files(bundle: Bundle) -> Iterator[Finding]:
    """A finding for every file of every role, and one for a role whose files do not hold what its class needs."""
    folders: dict[Path, list[str]] = {}
    for role, folder in bundle.roles:
        folders.setdefault(folder, []).append(role)
    for folder, roles in folders.items():
        yield from _check_folder(folder, roles)


def _check_folder(folder: Path, roles: Sequence[str]) -> Iterator[Finding]:
    tensors: dict[str, TensorFact] = {}
    readable = True
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name not in NOT_USED):
        try:
            _check_record(path)
            found = _opened(path)
        except BundleError as error:
            readable = False
            yield Finding(role=roles[0], subject=str(path), fault=str(error))
            continue
        tensors |= found
        yield Finding(role=roles[0], subject=str(path), detail=_described(path, found))
    for role in roles if readable else ():
        if role in WITHOUT_WEIGHTS:
            continue
        try:
            faults = _misfits(role, folder, tensors)
        except BundleError as error:
            faults = [str(error)]
        if faults:
            shown = "; ".join(faults[:_SHOWN]) + (f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else "")
            yield Finding(role=role, subject=str(folder), fault=f"{folder}: {shown}")


def _check_record(path: Path) -> None:
    """See that a file is the one that was pulled, to the byte.

    Raises:
        BundleError: it is not.
    """
    home = home_of(path.parent)
    facts = {} if home is None else (pulled_facts(home) or {}).get(path.relative_to(home).as_posix())
    if not facts:
        return
    sha256 = file_sha256(path)
    if sha256 != facts.get("sha256"):
        raise BundleError(f"{path} has SHA-256 {sha256}, and what was pulled had {facts.get('sha256')}: pull again")


def _opened(path: Path) -> dict[str, TensorFact]:
    """The tensors of a weight file; of others nothing, once they are seen to be readable.

    Raises:
        BundleError: it is cut short, damaged or of another kind.
    """
    if path.suffix == ".json":
        read_config(path.parent, path.name)
    elif path.suffix == ".txt":
        try:
            if not path.read_text(encoding="utf-8").strip():
                raise BundleError(f"{path} is empty, wanted words")
        except UnicodeDecodeError as error:
            raise BundleError(f"{path} is no text ({error}): fetch it again") from error
    elif path.suffix == ".safetensors":
        return _safetensors_header(path)
    elif path.suffix in WEIGHT_SUFFIXES:
        return _pickle_header(path)
    return {}


def _safetensors_header(path: Path) -> dict[str, TensorFact]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            return {
                name: TensorFact(file=path, shape=tuple(view.get_shape()), dtype=_DTYPES.get(view.get_dtype(), "other"))
                for name, view in views.items()
            }
    except (SafetensorError, OSError) as error:
        raise BundleError(
            f"{path} has {path.stat().st_size} bytes and is no whole safetensors file ({error}): fetch it again"
        ) from error


_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I8": "int8"}


def _pickle_header(path: Path) -> dict[str, TensorFact]:
    return {
        str(name): TensorFact(file=path, shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."))
        for name, value in read_weights(path).items()
    }


def _described(path: Path, tensors: Mapping[str, TensorFact]) -> str:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if not tensors:
        return size
    return f"{size}, {len(tensors)} tensors, {' and '.join(sorted({fact.dtype for fact in tensors.values()}))}"


def _misfits(role: str, folder: Path, tensors: Mapping[str, TensorFact]) -> list[str]:
    """A sentence for every tensor that the role's class lacks, has too many or shapes otherwise."""
    entry = _entry_of(folder)
    configured = folder if entry is None or role not in entry.roles else entry.config_folder(role)
    if not (configured / "config.json").is_file():
        # A file that says its sizes itself; the loader compares.
        return []
    if not tensors:
        raise BundleError(f"{folder} holds no weights: wanted one of {', '.join(f'*{end}' for end in WEIGHT_SUFFIXES)}")
    used = _used(tensors)
    return _wrong_precision(entry, used) + differences(role, configured, used)


def differences(role: str, folder: Path, tensors: Mapping[str, TensorFact]) -> list[str]:
    """A sentence for every name and shape in which files differ from a role's class.

    Args:
        role: one that has weights.
        folder: of its configuration.
        tensors: what the files hold, by the names that they use, published or today's.

    Raises:
        BundleError: the configuration is not of that role.
    """
    model_class = transformers_class(role, folder)
    if model_class is None:
        return _plain_differences(_model_shapes(role, folder, tensors), tensors)
    return _as_transformers_sees(role, model_class, folder, tensors)


def _entry_of(folder: Path) -> ModelEntry | None:
    """The published model that a folder was pulled as."""
    home = home_of(folder)
    return None if home is None else model_entry(str(read_config(home, PULLED).get("entry")))


def _used(tensors: Mapping[str, TensorFact]) -> dict[str, TensorFact]:
    """Whole weights where they lie beside halves of the same."""
    whole = {name: fact for name, fact in tensors.items() if f".{HALVES}." not in fact.file.name}
    return whole or dict(tensors)


def _wrong_precision(entry: ModelEntry | None, tensors: Mapping[str, TensorFact]) -> list[str]:
    wanted = "" if entry is None else entry.dtype
    return [
        f"{name} in {fact.file.name} is {fact.dtype}, expected {wanted}"
        for name, fact in tensors.items()
        if wanted and "float" in fact.dtype and fact.dtype != wanted
    ]


def _model_shapes(role: str, folder: Path, tensors: Mapping[str, TensorFact]) -> dict[str, tuple[int, ...]]:
    """Shapes by the names that the files use for them."""
    model = empty_model(role, folder)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    rename = getattr(model, "_fix_state_dict_keys_on_load", None)
    if rename is None:
        return shapes
    # diffusers knows older names: what it makes of the files' own tells which is which.
    old = {}
    for name in tensors:
        one = {name: torch.zeros(())}
        rename(one)
        old[next(iter(one))] = name
    return {old.get(name, name): shape for name, shape in shapes.items()}


def _plain_differences(wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, TensorFact]) -> list[str]:
    """Between the names and shapes of a class and those of its files; eight-bit numbers come with scales."""
    found = {
        name: fact
        for name, fact in tensors.items()
        if not (name.endswith(".scale") and name.removesuffix(".scale") in tensors)
    }
    faults = [f"{name} is missing, expected {list(shape)}" for name, shape in wanted.items() if name not in found]
    for name, fact in found.items():
        if name not in wanted:
            faults.append(f"{fact.file.name} has {name} {list(fact.shape)}, expected nothing of that name")
        elif fact.shape != wanted[name]:
            faults.append(f"{name} in {fact.file.name} is {list(fact.shape)}, expected {list(wanted[name])}")
    return faults


def _as_transformers_sees(
    role: str, model_class: Any, folder: Path, tensors: Mapping[str, TensorFact]
) -> list[str]:
    """The same by transformers' own loading, which knows older names, over stand-ins that take no memory."""
    from lift3d_ray.models.conv_vision import class_of_folder
    from lift3d_ray.models.depth import UNUSED_IN_DPT
    from lift3d_ray.models.image_encoder import picture_half

    stand_ins = {name: torch.zeros(()).expand(fact.shape) for name, fact in tensors.items()}
    loading_class = class_of_folder(model_class, folder)
    if role in ("image_encoder", "point_clip"):
        loading_class = picture_half(loading_class)
    try:
        _, info = loading_class.from_pretrained(
            None,
            config=transformers_config(model_class, folder),
            state_dict=stand_ins,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        return [f"cannot be loaded as {model_class.__name__}: {error}"]
    files = " and ".join(sorted({fact.file.name for fact in tensors.values()}))
    missing = [name for name in sorted(info["missing_keys"]) if not name.startswith(UNUSED_IN_DPT)]
    return (
        [f"{name} is missing in {files}" for name in missing]
        + [f"{name} in {files}, expected nothing of that name" for name in sorted(info["unexpected_keys"])]
        + [
            f"{name} in {files} is {list(found)}, expected {list(wanted)}"
            for name, found, wanted in sorted(info["mismatched_keys"], key=lambda wrong: str(wrong[0]))
        ]
    )


def check_forward(
    bundle: Bundle, *, device: str = "cpu", watch: Callable[[str], None] = lambda role: None
) -> Iterator[Finding]:
    """A finding for every model of the bundle, loaded as a lift loads it and asked once.

    Args:
        bundle: which.
        device: torch device.
        watch: told what is being loaded.
    """
    import time

    from lift3d_ray.models import trials

    for role, trial in trials.TRIALS.items():
        if bundle.optional_path(role) is None:
            continue
        watch(role)
        started = time.perf_counter()
        try:
            answer = trial(bundle, device)
        except (Lift3DError, ValueError, RuntimeError, AssertionError) as error:
            yield Finding(role=role, subject="forward pass", fault=f"{type(error).__name__}: {error}")
        else:
            seconds = time.perf_counter() - started
            yield Finding(role=role, subject="forward pass", detail=f"{answer}, {seconds:.1f} s with loading")
