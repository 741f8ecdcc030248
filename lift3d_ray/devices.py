"""Which torch device was asked for, and whether there is one."""

from __future__ import annotations

from lift3d_ray.errors import ConfigError


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
