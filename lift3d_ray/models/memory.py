"""How much memory a computation holds at most, found without computing: its tensors, born and gone.

The same on the ``meta`` device, where nothing is allocated, and on a real one. What kernels take for themselves (the
workspaces of convolutions, the allocator's own slack) is not seen.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMeter(TorchDispatchMode):
    """Watches the tensors that are made while it is entered.

    Attributes:
        now_bytes: held now.
        peak_bytes: held at most, together.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_bytes = 0
        self.peak_bytes = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def know(self, *tensors: Tensor) -> None:
        """Do not count these: they were there before."""
        for tensor in tensors:
            self._known.add(tensor.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run one operation, and count what it made."""
        for leaf in tree_leaves((args, kwargs or {})):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.now_bytes -= size


def weight_bytes(model: nn.Module, dtype: torch.dtype | None = None) -> int:
    """Bytes of a model's parameters and buffers, those with a point in ``dtype`` where given."""
    total = 0
    seen: set[int] = set()
    for tensor in (*model.parameters(), *model.buffers()):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            size = dtype.itemsize if dtype is not None and tensor.is_floating_point() else tensor.element_size()
            total += tensor.numel() * size
    return total
