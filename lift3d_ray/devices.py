"""Which torch device was asked for, whether there is one, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lift3d_ray.errors import ConfigError

if TYPE_CHECKING:
    import torch

AUTO = "auto"
"""Of ``chosen_dtype``: what the device computes fastest."""


def check_device(name: str) -> None:
    """See that a device can be computed on before anything is loaded.

    Args:
        name: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: another name, or no such device on this machine.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}: choose cpu, cuda or cuda:N") from None
    if device.type == "cpu":
        return
    if device.type != "cuda":
        raise ConfigError(f"device {name!r} is not supported: choose cpu, cuda or cuda:N")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= found:
        raise ConfigError(
            f"device {name!r} was asked for and this machine has {found or 'no'} CUDA device{'s' * (found > 1)} that "
            "torch can use: choose another, or --device cpu"
        )


def has_bf16(name: str) -> bool:
    """Whether a device multiplies bfloat16 matrices faster than float32 ones: GPUs, and CPUs with AVX-512 BF16 or AMX.

    Args:
        name: as of ``check_device``, which has seen it.
    """
    import torch

    if torch.device(name).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def chosen_dtype(precision: str, device: str) -> torch.dtype:
    """The precision of the shared models.

    ``auto`` is float16 on GPUs, as a run's replicas have it, and bfloat16 on CPUs that multiply it: there a published
    ViT-B took 0.99 s instead of 1.93 s, and the embedded prior 30 ms instead of 35 ms. Elsewhere it is float32.

    Args:
        precision: ``float32``, ``float16``, ``bfloat16`` or ``auto``.
        device: as of ``check_device``, which has seen it.

    Raises:
        ConfigError: another word.
    """
    import torch

    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if precision == AUTO:
        if torch.device(device).type == "cuda":
            return torch.float16
        return torch.bfloat16 if has_bf16(device) else torch.float32
    if precision not in known:
        raise ConfigError(f"unknown precision {precision!r}: choose one of {', '.join((*known, AUTO))}")
    return known[precision]
