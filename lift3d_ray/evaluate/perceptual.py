"""LPIPS-like distance of pictures: shift-tolerant LPIPS on AlexNet (Ghildyal and Liu 2022; Zhang et al. 2018).

Its weights are read from the files of the package ``stlpips-pytorch`` (BSD-2), whose code is not run: an option for
whoever measures, ``pip install 'lift3d-ray[evaluate]'``.

Shape suffixes: V pictures, S side, H W pixels.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lift3d_ray.types import Float32

PACKAGE = "stlpips_pytorch"
WEIGHTS = Path("weights") / "vST0.0" / "alex_shift_tolerant.pth"
_CONVOLUTIONS = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
_SMALLEST = 1e-10


class PerceptualDistance:
    """Weighted distances of unit features at five depths of the trunk.

    Args:
        weights: the published state: ``net.*`` the trunk's convolutions, ``lin*`` the weights of features' channels.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._shift, self._scale = weights["scaling_layer.shift"], weights["scaling_layer.scale"]
        self._kernels = [(weights[f"net.{name}.weight"], weights[f"net.{name}.bias"]) for name in _CONVOLUTIONS]
        self._channels = [weights[f"lin{k}.model.1.weight"] for k in range(len(_CONVOLUTIONS))]

    @torch.no_grad()
    def __call__(self, first_VSSC: Float32, second_VSSC: Float32) -> Float32:
        """(V,) distances of pictures (V, S, S, 3) in [0, 1]; 0 = the same, about 1 = nothing in common."""
        total = torch.zeros(len(first_VSSC))
        pairs = zip(self._features(first_VSSC), self._features(second_VSSC), self._channels, strict=True)
        for one_VCHW, other_VCHW, weight_1C11 in pairs:
            total += F.conv2d((one_VCHW - other_VCHW).square(), weight_1C11).mean((1, 2, 3))
        return np.asarray(total.numpy(), dtype=np.float32)

    def _features(self, pictures_VSSC: Float32) -> list[Tensor]:
        """Unit features behind every rectifier."""
        x = torch.from_numpy(np.ascontiguousarray(pictures_VSSC)).permute(0, 3, 1, 2).float()
        x = (2 * x - 1 - self._shift) / self._scale
        found = []
        for depth, (kernel, bias) in enumerate(self._kernels):
            if depth in (1, 2):
                x = _blurred_half(F.max_pool2d(x, 3, stride=1))
            x = F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2 if depth else 2)
            x = F.relu(x if depth else _blurred_half(x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _SMALLEST))
        return found


def _blurred_half(x_VCHW: Tensor) -> Tensor:
    """Half the side behind a binomial blur (Zhang 2019), with the two pixels of mirrored border of that network."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(x_VCHW.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x_VCHW, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x_VCHW.shape[1])


def find_perceptual() -> PerceptualDistance | None:
    """The distance, where its weights are installed."""
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / WEIGHTS
        if path.exists():
            return PerceptualDistance(torch.load(path, map_location="cpu", weights_only=True))
    return None
