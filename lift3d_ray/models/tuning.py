"""Ways to make the prior faster or smaller that are asked for: compiled, laid out for tensor cores, sliced.

All are off unless asked for. Compiled and sliced networks answer as others to the rounding of their precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lift3d_ray.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is done to the prior's networks when they are loaded.

    Attributes:
        compile: compile them with ``torch.compile`` and ask each once, so that the first scene does not wait.
        channels_last: lay weights and latents out with their channels last; for half precision on CUDA.
        slice_attention: compute attention a slice of its heads at a time, where ``models plan`` says that it saves.
    """

    compile: bool = False
    channels_last: bool = False
    slice_attention: bool = False

    def check(self, device: str, dtype: torch.dtype) -> None:
        """See that it can be done before anything is loaded.

        Args:
            device: where the prior will be.
            dtype: its precision.

        Raises:
            ConfigError: it cannot.
        """
        if self.compile and self.slice_attention:
            raise ConfigError(
                "a compiled prior and sliced attention exclude each other, as slices depend on what is asked together: "
                "leave one of them out"
            )
        if self.channels_last and not takes_channels_last(device, dtype):
            raise ConfigError(
                f"channels-last is for half precision on CUDA, got {str(dtype).removeprefix('torch.')} on {device}: "
                "leave it out, or take --device cuda --dtype float16"
            )
        if self.compile:
            check_compiler(device)


PLAIN = Tuning()
"""Nothing."""


def takes_channels_last(device: str, dtype: torch.dtype) -> bool:
    """Whether convolutions run on tensor cores, which read channels last: half precision on CUDA."""
    return torch.device(device).type == "cuda" and dtype in (torch.float16, torch.bfloat16)


def check_compiler(device: str) -> None:
    """See that ``torch.compile`` finds what it compiles with: Triton for CUDA, a C++ compiler for CPUs.

    Raises:
        ConfigError: it does not.
    """
    if torch.device(device).type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise ConfigError("--compile on CUDA needs Triton, which is not here: pip install triton, or leave it out")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise ConfigError(
            "--compile needs a C++ compiler and found none: install g++, name one by the variable CXX, or leave it out"
        ) from error


class CompiledNetwork:
    """A network compiled once for every number of latents above one, and every number of tokens.

    Everything but calls goes to the network itself: what needs gradients asks its ``forward``, which is not compiled.

    Args:
        network: of diffusers.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._compiled: Any = torch.compile(network)

    def __getattr__(self, name: str) -> Any:
        """What the network has."""
        return getattr(self._network, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The network's answer."""
        for leaf in tree_leaves((args, named)):
            if isinstance(leaf, Tensor):
                torch._dynamo.maybe_mark_dynamic(leaf, (0, 1) if leaf.ndim == 3 else 0)
        return self._compiled(*args, **named)


def tuned(network: Any, tuning: Tuning) -> Any:
    """A network of the prior, where it will be asked, with what was asked for done to it."""
    if tuning.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if tuning.slice_attention:
        network.set_attention_slice("max")
    return CompiledNetwork(network) if tuning.compile else network
