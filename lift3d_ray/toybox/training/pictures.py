"""Pictures of subjects for the roles that look at them: toys cut out, moved, lit, blurred, laid over backgrounds.

The lift shows its captioner the subject crop over white, the subject filling 60 to 90 % of the square; so do most of
these. The rest lie over colours, gradients and blotches, so that background is not taken for subject.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad

from lift3d_ray.toybox.attributes import view_name
from lift3d_ray.toybox.training.views import ViewSet, load_views
from lift3d_ray.types import Bool, Int64, UInt8

WHITE_SHARE = 0.6
_TURN_DEG = 8.0
_EVALUATED = 768


class Toys:
    """Cut-out pictures of N toys: the targets and the references of a ``ViewSet`` as one list of views.

    Args:
        views: the pictures and what they show.
    """

    def __init__(self, views: ViewSet) -> None:
        self._views = views
        self.captions = views.captions
        self.classes = views.classes
        self.azimuth_deg_NV = np.concatenate([views.target_azimuth_deg, views.reference_azimuth_deg], 1)
        self.elevation_deg_NV = np.concatenate([views.target_elevation_deg, views.reference_elevation_deg], 1)

    @classmethod
    def load(cls, folder: Path, *, limit: int | None = None) -> Toys:
        """The first ``limit`` shards that ``views.build_views`` wrote, or all of them."""
        return cls(load_views(folder, limit=limit))

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def views_a_toy(self) -> int:
        """V, the pictures there are of each toy."""
        return int(self.azimuth_deg_NV.shape[1])

    @property
    def targets(self) -> int:
        """How many of those are canonical views; they come first."""
        return int(self._views.target_rgba.shape[1])

    @property
    def references(self) -> range:
        """The views taken as a photographer would: not from far above."""
        return range(self._views.target_rgba.shape[1], self.views_a_toy)

    def rgba(self, toys_B: Int64, views_B: Int64) -> UInt8:
        """(B, S, S, 4) uint8 pictures, colour over white and coverage."""
        targets = self._views.target_rgba.shape[1]
        is_target = (views_B < targets)[:, None, None, None]
        first = self._views.target_rgba[toys_B, np.minimum(views_B, targets - 1)]
        other = self._views.reference_rgba[toys_B, np.maximum(views_B - targets, 0)]
        return np.asarray(np.where(is_target, first, other), dtype=np.uint8)

    def view_name(self, toy: int, view: int) -> str:
        """Front, side, back or top."""
        return view_name(float(self.azimuth_deg_NV[toy, view]), float(self.elevation_deg_NV[toy, view]))

    def describe(self, toy: int, view: int) -> str:
        """The caption of one picture, with its view: "a red mug with white dots, side view"."""
        return f"{self.captions[toy]}, {self.view_name(toy, view)} view"

    def describe_all(self, toys_B: Int64, views_B: Int64) -> list[str]:
        """The captions of B pictures."""
        return [self.describe(int(toy), int(view)) for toy, view in zip(toys_B, views_B, strict=True)]


@dataclass(frozen=True, kw_only=True)
class SubjectBatch:
    """Pictures and what they show.

    Attributes:
        images_B3HW: (B, 3, S, S) float32 in [0, 1].
        toys_B: (B,) int64 rows of ``Toys``.
        views_B: (B,) int64 their views.
        recoloured_B: (B,) bool, pictures whose subject is no longer of the colours it is called.
    """

    images_B3HW: Tensor
    toys_B: Int64
    views_B: Int64
    recoloured_B: Bool


def draw_subjects(
    toys: Toys,
    rng: np.random.Generator,
    count: int,
    *,
    white_share: float = WHITE_SHARE,
    recoloured_share: float = 0.0,
) -> SubjectBatch:
    """A training batch: distinct toys, one random view each, everything about the picture varied.

    Args:
        toys: what to draw from.
        rng: source of all variation.
        count: pictures.
        white_share: share of pictures over white.
        recoloured_share: share of subjects whose colours are exchanged. Training never shows some colours of a class;
            without these a picture's colour tells what it is *not*.
    """
    chosen = rng.choice(len(toys), count, replace=count > len(toys))
    views = rng.integers(toys.views_a_toy, size=count)
    size = rng.uniform(0.55, 0.95, count)
    moved = place_subjects(
        toys.rgba(chosen, views),
        fill_B=size,
        shift_B2=rng.uniform(-1, 1, (count, 2)) * (1 - size)[:, None],
        turn_deg_B=rng.normal(0, _TURN_DEG / 2, count).clip(-_TURN_DEG, _TURN_DEG),
        mirrored_B=rng.random(count) < 0.5,
    )
    images, recoloured = photograph(moved, rng, white_share=white_share, recoloured_share=recoloured_share)
    return SubjectBatch(images_B3HW=images, toys_B=chosen, views_B=views, recoloured_B=recoloured)


def photograph(
    moved_B4HW: Tensor, rng: np.random.Generator, *, white_share: float, recoloured_share: float
) -> tuple[Tensor, Bool]:
    """Placed cut-outs before backgrounds, as a camera would show them; some have their colours exchanged, in place.

    Returns:
        (B, 3, S, S) pictures in [0, 1], and (B,) bool which subjects are no longer of the colours they are called.
    """
    count = len(moved_B4HW)
    recoloured = rng.random(count) < recoloured_share
    exchange_colours(moved_B4HW, recoloured, rng)
    backgrounds = draw_backgrounds(rng, count, moved_B4HW.shape[-1], white_share=white_share)
    return develop(over(moved_B4HW, backgrounds), rng), recoloured


def exchange_colours(moved_B4HW: Tensor, chosen_B: Bool, rng: np.random.Generator) -> None:
    """Exchange red, green and blue of some placed cut-outs, and turn some of those into their negatives, in place."""
    for row in np.flatnonzero(chosen_B):
        order = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)][rng.integers(5)]
        darkness = moved_B4HW[row, list(order)]
        moved_B4HW[row, :3] = moved_B4HW[row, 3:] - darkness if rng.random() < 0.3 else darkness


def plain_subjects(toys: Toys, toys_B: Int64, views_B: Int64, *, fill: float = 0.8) -> Tensor:
    """(B, 3, S, S) pictures over white, the subject centred and filling this share of the square: the lift's crop."""
    count = len(toys_B)
    moved = place_subjects(
        toys.rgba(toys_B, views_B),
        fill_B=np.full(count, fill),
        shift_B2=np.zeros((count, 2)),
        turn_deg_B=np.zeros(count),
        mirrored_B=np.zeros(count, dtype=bool),
    )
    return over(moved, torch.ones(count, 3, 1, 1)).clamp(0, 1)


def place_subjects(
    rgba_BHWC: UInt8, *, fill_B: np.ndarray, shift_B2: np.ndarray, turn_deg_B: np.ndarray, mirrored_B: np.ndarray
) -> Tensor:
    """Crop, scale, turn and mirror cut-outs in one resampling.

    Args:
        rgba_BHWC: (B, S, S, 4) uint8 over white.
        fill_B: (B,) longer side of the subject's box as a share of the square.
        shift_B2: (B, 2) centre of the box, x right and y down, in half squares.
        turn_deg_B: (B,) turn in the picture plane, degrees.
        mirrored_B: (B,) bool, left and right swapped.

    Returns:
        (B, 4, S, S) float32: darkness (1 - colour over white), and coverage.
    """
    planes = torch.from_numpy(rgba_BHWC).permute(0, 3, 1, 2).float() / 255
    planes[:, :3] = 1 - planes[:, :3]
    centre_B2, half_B = alpha_boxes(planes[:, 3])
    zoom_B = half_B / torch.from_numpy(fill_B).float()
    angle = torch.from_numpy(np.deg2rad(turn_deg_B)).float()
    flip = 1 - 2 * torch.from_numpy(mirrored_B).float()
    cos, sin = torch.cos(angle) * zoom_B, torch.sin(angle) * zoom_B
    linear = torch.stack([torch.stack([cos * flip, -sin], -1), torch.stack([sin * flip, cos], -1)], 1)
    offset = centre_B2 - (linear @ torch.from_numpy(shift_B2).float()[..., None])[..., 0]
    theta = torch.cat([linear, offset[..., None]], -1)
    grid = affine_grid(theta, list(planes.shape), align_corners=False)
    return grid_sample(planes, grid, align_corners=False)


def over(moved_B4HW: Tensor, backgrounds_B3HW: Tensor) -> Tensor:
    """Pictures of placed cut-outs over backgrounds, (B, 3, S, S)."""
    darkness, alpha = moved_B4HW[:, :3], moved_B4HW[:, 3:]
    return 1 - darkness + (1 - alpha) * (backgrounds_B3HW - 1)


def draw_backgrounds(
    rng: np.random.Generator, count: int, size: int, *, white_share: float = WHITE_SHARE
) -> Tensor:
    """(B, 3, S, S) in [0, 1]: mostly white, else one colour, a gradient, or soft blotches of two colours."""
    first, second = (torch.from_numpy(rng.random((count, 3, 1, 1))).float() for _ in range(2))
    kind = torch.from_numpy(rng.random(count)).float()[:, None, None, None]
    angle = torch.from_numpy(rng.uniform(0, 2 * np.pi, (count, 1, 1, 1))).float()
    axis = torch.linspace(-0.5, 0.5, size)
    ramp = axis * torch.cos(angle) + axis[:, None] * torch.sin(angle) + 0.5
    cells = int(rng.integers(2, 9))
    blotches = torch.from_numpy(rng.random((count, 1, cells, cells))).float()
    blotches = interpolate(blotches, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    share = torch.where(kind < 0.33, torch.zeros(1), torch.where(kind < 0.66, ramp, blotches)).clamp(0, 1)
    white = torch.from_numpy(rng.random(count) < white_share)[:, None, None, None]
    return torch.where(white, torch.ones(1), first + (second - first) * share)


def develop(images_B3HW: Tensor, rng: np.random.Generator) -> Tensor:
    """A camera's doing: exposure, contrast and tint (mild, since colours are labels), softness, noise."""
    count = len(images_B3HW)

    def draw(spread: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(-spread, spread, (count, *shape))).float()

    gain = (1 + draw(0.08, 1, 1, 1)) * (1 + draw(0.08, 1, 1, 1) + draw(0.03, 3, 1, 1))
    images = (images_B3HW - 0.5) * gain + (0.5 + draw(0.04, 1, 1, 1))
    soft = torch.from_numpy(np.flatnonzero(rng.random(count) < 0.4))
    sharp = images[soft]
    blurred = avg_pool2d(pad(sharp, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images[soft] = sharp.lerp(blurred, torch.from_numpy(rng.random((len(soft), 1, 1, 1))).float())
    noisy = torch.from_numpy(np.flatnonzero(rng.random(count) < 0.5))
    shape = (len(noisy), *images.shape[1:])
    amount = torch.from_numpy(rng.uniform(0, 0.04, (len(noisy), 1, 1, 1))).float()
    images[noisy] += amount * torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return images.clamp(0, 1)


def alpha_boxes(alpha_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) and half the longer side (B,) of what is covered, in ``grid_sample``'s units."""
    size = alpha_BHW.shape[-1]
    bounds = []
    for axis in (1, 2):
        covered = (alpha_BHW > 0.25).any(axis).float()
        position = torch.arange(size).float()
        low = torch.where(covered > 0, position, torch.full((1,), float(size))).min(1).values
        high = torch.where(covered > 0, position + 1, torch.zeros(1)).max(1).values
        empty = high <= low
        bounds.append((torch.where(empty, 0.0, low), torch.where(empty, float(size), high)))
    centre = torch.stack([(low + high) / size - 1 for low, high in bounds], -1)
    half = torch.stack([(high - low) / size for low, high in bounds], -1).max(-1).values
    return centre, half


def evaluation_pictures(toys: Toys, *, photographic: bool) -> tuple[Int64, Int64]:
    """Rows and views of up to 768 fixed pictures, spread over the toys."""
    rng = np.random.default_rng([7, int(photographic)])
    count = min(_EVALUATED, 2 * len(toys))
    chosen = np.arange(count, dtype=np.int64) % len(toys)
    permitted = toys.references if photographic else range(toys.views_a_toy)
    views = rng.choice(np.asarray(permitted), count)
    return chosen, views


def to_bytes(images_B3HW: Tensor) -> list[UInt8]:
    """(B, 3, H, W) in [0, 1] as B pictures (H, W, 3) uint8."""
    return list((images_B3HW.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy())


def labelled_sheet(
    images_B3HW: Tensor, labels: list[str], right: list[bool], *, columns: int = 6, scale: int = 2
) -> UInt8:
    """Pictures with words below them, wrong ones in red.

    Args:
        images_B3HW: (B, 3, S, S) in [0, 1].
        labels: B texts, broken at commas and spaces to fit.
        right: B flags.
        columns: pictures a row.
        scale: enlargement of the pictures.

    Returns:
        (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    side, text = images_B3HW.shape[-1] * scale, 36
    width = side + 40
    rows = -(-len(labels) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (side + text)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (picture, label, good) in enumerate(zip(to_bytes(images_B3HW), labels, right, strict=True)):
        x, y = k % columns * width, k // columns * (side + text)
        sheet.paste(Image.fromarray(picture).resize((side, side)), (x + 20, y))
        lines = textwrap.fill(label, width // 6)
        draw.multiline_text((x + 4, y + side), lines, fill="black" if good else "red", spacing=1)
    return np.asarray(sheet, dtype=np.uint8)
