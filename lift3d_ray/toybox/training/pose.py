"""The embedded pose regressor: elevation and canonical box of toys, from crops as the lift will show them.

The canonical views of the priors' own training set carry the answer: their elevation is known, and where the toy's box
lies in them can be measured.

Shape suffixes: B pictures, H W pixels.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.pose import SPREAD, PoseNetwork
from lift3d_ray.toybox.training.pictures import (
    Toys,
    alpha_boxes,
    labelled_sheet,
    photograph,
    place_subjects,
    plain_subjects,
)
from lift3d_ray.toybox.training.vision import IMAGE_SIZE, TOKEN_WIDTH, TOWER_WIDTHS
from lift3d_ray.types import Int64, UInt8

BATCH = 64
_WHITE_SHARE, _RECOLOURED_SHARE = 0.9, 0.3
_EVALUATED = 1000


class PoseTask:
    """Regression on varied crops of canonical views.

    Args:
        toys: training pictures.
        held_out: held-out pictures.
        tower: a trained captioner's picture tower to start from; None = from nothing.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(
        self, toys: Toys, held_out: Toys, *, tower: nn.Module | None = None, batch_size: int = BATCH, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._toys, self._held_out, self._size = toys, held_out, batch_size
        self.network = PoseNetwork(image_size=IMAGE_SIZE, widths=tuple(TOWER_WIDTHS), hidden_size=TOKEN_WIDTH)
        if tower is not None:
            self.network.tower.load_state_dict(cast(Any, tower).state_dict())

    def modules(self) -> dict[str, nn.Module]:
        """The network."""
        return {"pose": self.network}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) and what is to be said of them (B, 4)."""
        chosen = rng.choice(len(self._toys), self._size, replace=self._size > len(self._toys))
        views = rng.integers(self._toys.targets, size=self._size)
        mirrored = rng.random(self._size) < 0.5
        fill = rng.uniform(0.7, 0.9, self._size)
        moved = place_subjects(
            self._toys.rgba(chosen, views),
            fill_B=fill,
            shift_B2=rng.uniform(-0.5, 0.5, (self._size, 2)) * (1 - fill)[:, None],
            turn_deg_B=np.zeros(self._size),
            mirrored_B=mirrored,
        )
        images, _ = photograph(moved, rng, white_share=_WHITE_SHARE, recoloured_share=_RECOLOURED_SHARE)
        wanted = true_answers(self._toys, chosen, views)
        wanted[:, 2] *= 1 - 2 * torch.from_numpy(mirrored).float()
        return images, wanted

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean absolute error in units of each answer's spread."""
        images, wanted = batch
        error_B4 = (self.network(images).float() - wanted).abs()
        return (error_B4 / error_B4.new_tensor(SPREAD)).mean(), {"elevation_deg": error_B4[:, 0].detach().mean()}

    def validate(self) -> dict[str, float]:
        """Mean absolute errors on held-out toys over white, below 45 degrees, and of always answering the mean."""
        found, wanted = self._judged()
        error_4 = (found - wanted).abs().mean(0)
        constant = (wanted[:, 0] - wanted[:, 0].mean()).abs().mean()
        names = ("elevation_deg", "log_half", "center_x", "center_y")
        return {**dict(zip(names, error_4.tolist(), strict=True)), "elevation_deg_constant": float(constant)}

    def _judged(self) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(17)
        chosen = np.arange(_EVALUATED, dtype=np.int64) % len(self._held_out)
        views = rng.integers(self._held_out.targets, size=len(chosen))
        low = self._held_out.elevation_deg_NV[chosen, views] < 45
        chosen, views = chosen[low], views[low]
        pictures = plain_subjects(self._held_out, chosen, views)
        found = torch.cat([self.network(part) for part in pictures.split(128)])
        return found, true_answers(self._held_out, chosen, views)

    def sheet(self) -> UInt8:
        """Held-out crops with true and found elevation."""
        chosen = np.arange(min(36, len(self._held_out)), dtype=np.int64)
        views = chosen % self._held_out.targets
        pictures = plain_subjects(self._held_out, chosen, views)
        found = self.network(pictures)[:, 0].tolist()
        wanted = true_answers(self._held_out, chosen, views)[:, 0].tolist()
        labels = [f"{a:.0f} found {b:.0f}" for a, b in zip(wanted, found, strict=True)]
        return labelled_sheet(pictures, labels, [abs(a - b) < 8 for a, b in zip(wanted, found, strict=True)])


def true_answers(toys: Toys, toys_B: Int64, views_B: Int64) -> Tensor:
    """(B, 4) elevation in degrees, log half side and centre (right, up) of the box in the canonical picture."""
    alpha = torch.from_numpy(toys.rgba(toys_B, views_B)[..., 3].astype(np.float32) / 255)
    center_B2, half_B = alpha_boxes(alpha)
    elevation = torch.from_numpy(toys.elevation_deg_NV[toys_B, views_B]).float()
    return torch.stack([elevation, half_B.clamp(min=0.05).log(), center_B2[:, 0], -center_B2[:, 1]], dim=1)
