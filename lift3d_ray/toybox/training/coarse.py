"""The embedded coarse shape model: from a picture to the solid behind it.

Shape suffixes: B pictures, S side, D slices.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lift3d_ray.models.coarse import SIDE, SLICES, CoarseNetwork
from lift3d_ray.toybox.training.coarse_data import CoarseSet
from lift3d_ray.toybox.training.pictures import develop
from lift3d_ray.toybox.training.sheets import picture_grid
from lift3d_ray.toybox.training.vision import IMAGE_SIZE, TOWER_WIDTHS
from lift3d_ray.types import Int64, UInt8

BATCH = 32
HIDDEN = 64
DEEP_BLOCKS = 3
_RECOLOURED_SHARE = 0.6
_FILLED_WEIGHT = 10.0
_CHUNK = 125


class _Batch(NamedTuple):
    images_B3HW: Tensor
    filled_BDSS: Tensor
    back_B3SS: Tensor


class CoarseTask:
    """Occupancy along the rays of varied crops, and the colours of their backs.

    Args:
        train: pictures to learn from.
        held_out: pictures to judge by.
        tower: a trained captioner's picture tower, whose stages to start from; None = from nothing.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(
        self,
        train: CoarseSet,
        held_out: CoarseSet,
        *,
        tower: nn.Module | None = None,
        batch_size: int = BATCH,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._train, self._held_out, self._size = train, held_out, batch_size
        self.network = CoarseNetwork(
            image_size=IMAGE_SIZE, widths=tuple(TOWER_WIDTHS), hidden_size=HIDDEN, deep_blocks=DEEP_BLOCKS
        )
        if tower is not None:
            # The blocks that the tower does not have keep their own start.
            stages = cast(Any, tower).encoder.stages.state_dict()
            self.network.encoder.stages.load_state_dict(stages, strict=False)

    def modules(self) -> dict[str, nn.Module]:
        """The network."""
        return {"coarse": self.network}

    def draw(self, rng: np.random.Generator) -> _Batch:
        """Varied crops, the solids behind them and their backs."""
        images, filled, back = _batch(self._train, rng.integers(len(self._train.rgba_NSSC), size=self._size))
        _mirror(rng, images, filled, back)
        _recolour(rng, images, back)
        return _Batch(develop(images, rng), filled, back)

    def loss(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy and soft overlap of the occupancy, mean absolute error of the back's colours."""
        filled, back = batch.filled_BDSS.float(), batch.back_B3SS
        logits, colours = (part.float() for part in self.network(batch.images_B3HW))
        overlap = _overlap(torch.sigmoid(logits), filled)
        crossed = binary_cross_entropy_with_logits(logits, filled)
        painted = _colour_error(torch.sigmoid(colours), back, filled)
        loss = _FILLED_WEIGHT * crossed + (1 - overlap).mean() + painted
        return loss, {"overlap": overlap.detach().mean(), "back": painted.detach()}

    def validate(self) -> dict[str, float]:
        """Intersection over union of the solids, and the backs' error of colour, on held-out toys."""
        overlaps, errors = [], []
        for start in range(0, len(self._held_out.rgba_NSSC), _CHUNK):
            images, filled, back = _batch(self._held_out, np.arange(start, start + _CHUNK))
            logits, colours = self.network(images)
            overlaps.append(_overlap((logits > 0).float(), filled.float()))
            errors.append(float(_colour_error(torch.sigmoid(colours), back, filled.float())))
        iou = torch.cat(overlaps)
        return {"iou": float(iou.mean()), "iou_p10": float(iou.quantile(0.1)), "back_error": float(np.mean(errors))}

    def sheet(self) -> UInt8:
        """Rows: held-out pictures, their backs true and guessed, the solids from the side true and guessed."""
        images, filled, back = _batch(self._held_out, np.arange(0, 72, 3))
        logits, colours = self.network(images)
        smaller = torch.nn.functional.avg_pool2d(images, IMAGE_SIZE // SIDE)
        covered = filled.amax(1).float()[:, None]
        guessed = torch.sigmoid(colours) * (logits.amax(1) > 0).float()[:, None]
        rows = [smaller, back * covered, guessed, _from_the_side(filled), _from_the_side(logits > 0)]
        return picture_grid(rows, columns=24)


def _batch(data: CoarseSet, rows_B: Int64) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (B, 3, 64, 64) and backs (B, 3, 32, 32), float in [0, 1], and occupancy (B, D, 32, 32), uint8 0 or 1."""
    rows_B = rows_B[rows_B < len(data.rgba_NSSC)]
    bits = np.unpackbits(data.filled_NB[rows_B], axis=1).reshape(-1, SIDE, SIDE, SLICES)
    return (
        torch.from_numpy(data.rgba_NSSC[rows_B][..., :3]).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(bits).permute(0, 3, 1, 2),
        torch.from_numpy(data.back_NSSC[rows_B]).permute(0, 3, 1, 2).float() / 255,
    )


def _mirror(rng: np.random.Generator, *pictures: Tensor) -> None:
    """Left and right swapped in half of the rows, alike in all, in place: a mirrored toy is a toy."""
    chosen = torch.from_numpy(rng.random(len(pictures[0])) < 0.5)
    for picture in pictures:
        picture[chosen] = picture[chosen].flip(-1)


def _recolour(rng: np.random.Generator, *pictures: Tensor) -> None:
    """Red, green and blue exchanged in some of the rows, alike in all, in place."""
    for row in np.flatnonzero(rng.random(len(pictures[0])) < _RECOLOURED_SHARE):
        order = torch.from_numpy(rng.permutation(3))
        for picture in pictures:
            picture[row] = picture[row, order]


def _overlap(guess_BDSS: Tensor, truth_BDSS: Tensor) -> Tensor:
    """(B,) intersection over union, soft where the guess is."""
    both = (guess_BDSS * truth_BDSS).sum((1, 2, 3))
    return both / (guess_BDSS.sum((1, 2, 3)) + truth_BDSS.sum((1, 2, 3)) - both).clamp(min=1)


def _colour_error(guess_B3SS: Tensor, truth_B3SS: Tensor, filled_BDSS: Tensor) -> Tensor:
    """Mean absolute error where there is anything behind the pixel."""
    covered = filled_BDSS.amax(1, keepdim=True)
    return ((guess_B3SS - truth_B3SS).abs() * covered).sum() / (3 * covered.sum()).clamp(min=1)


def _from_the_side(filled_BDSS: Tensor) -> Tensor:
    """(B, 3, S, D) silhouettes seen from the picture's right: rows stay, depth runs across."""
    return filled_BDSS.float().amax(3).permute(0, 2, 1)[:, None].repeat(1, 3, 1, 1)
