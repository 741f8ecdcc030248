"""How much memory a computation holds at most, found without computing: its tensors, born and gone.

The same on the ``meta`` device, where nothing is allocated, and on a real one. What kernels take for themselves (the
workspaces of convolutions, the allocator's own slack) is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMeter(TorchDispatchMode):
    """Watches the tensors that are made while it is entered.

    Args:
        known: not counted: they were there before.

    Attributes:
        now_bytes: held now.
        peak_bytes: held at most, together.
    """

    def __init__(self, *known: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now_bytes: int = 0
        self.peak_bytes: int = 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in known)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run one operation, and count what it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size_bytes: int) -> None:
        self.now_bytes -= size_bytes


class FusedAttention(TorchFunctionMode):
    """Attention as the devices compute it, without its matrix: the ``meta`` device alone would write that out."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Exchange the one function."""
        if func is scaled_dot_product_attention:
            return _fused(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    answer: Tensor = attend(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return answer


def peak_bytes(run: Callable[[], object], *models: nn.Module) -> int:
    """Most memory that a computation holds beside the weights of its models.

    Args:
        run: the computation, on ``meta`` or on a device.
        models: whose weights were there before.
    """
    weights = [tensor for model in models for tensor in (*model.parameters(), *model.buffers())]
    meter = PeakMeter(*weights)
    with FusedAttention(), meter:
        answer = run()
    del answer
    return meter.peak_bytes


def weight_bytes(model: nn.Module, dtype: torch.dtype | None = None) -> int:
    """Bytes of a model's parameters and buffers, each once; those with a point in ``dtype`` where given."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(
        tensor.numel() * (dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype).itemsize
        for tensor in tensors.values()
    )
