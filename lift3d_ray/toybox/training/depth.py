"""The embedded depth estimator: a small official DPT trained on disparity of cut-outs.

The lift shows it the subject over white, filling nearly the whole square; so do the pictures here.
Only the subject's own disparity counts, up to scale and shift, as in MiDaS (Ranftl et al. 2020, equations 5 to 11).

Shape suffixes: B pictures, H W pixels, S their side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lift3d_ray.conditioning.depth import SHOWN_FILL, estimate_closely
from lift3d_ray.models.coarse import SIDE
from lift3d_ray.models.conv_vision import with_conv_tower
from lift3d_ray.models.depth import DptDepth
from lift3d_ray.toybox.scene_dataset import load_scenes
from lift3d_ray.toybox.scenes import MAIN
from lift3d_ray.toybox.training.augment import recolor
from lift3d_ray.toybox.training.coarse import DEEP_BLOCKS, HIDDEN
from lift3d_ray.toybox.training.coarse_data import CoarseSet
from lift3d_ray.toybox.training.export import save_half
from lift3d_ray.toybox.training.views import load_views
from lift3d_ray.toybox.training.vision import TOWER_WIDTHS
from lift3d_ray.types import Bool, Float32, UInt8

SIZE = 64
_FILL = (0.84, 0.98)
OUTPUT_MEAN, OUTPUT_STD = 1.0, 0.3
"""Where the disparity inside a subject is kept, weakly: well above the head's final ReLU."""


@dataclass(frozen=True, kw_only=True)
class DepthSet:
    """Pictures with a subject whose depth is known.

    Attributes:
        rgb_NHWC: (N, S, S, 3) uint8.
        alpha_NHW: (N, S, S) uint8 coverage of the subject; cut-outs lie over white where it is below 255.
        disparity_NHW: (N, S, S) inverse z-depth of the subject up to scale and shift, 0 where it is not known.
        framed: True where ``rgb`` has a background of its own that may stay.
    """

    rgb_NHWC: UInt8
    alpha_NHW: UInt8
    disparity_NHW: np.ndarray
    framed: bool


def load_scene_depths(folder: Path, *, limit: int | None = None) -> DepthSet:
    """Composites of ``scene_dataset.build_scenes``: subjects with a background of their own."""
    scenes = load_scenes(folder, limit=limit)
    alpha = np.where(scenes.ids == MAIN, 255, 0).astype(np.uint8)
    return DepthSet(rgb_NHWC=scenes.rgb, alpha_NHW=alpha, disparity_NHW=_inverse(scenes.depth), framed=True)


def load_view_depths(folder: Path, *, limit: int | None = None) -> DepthSet:
    """Clean renders of ``views.build_views``: the targets, antialiased cut-outs over white; at most ``limit``."""
    views = load_views(folder, limit=None if limit is None else 1)
    rgba = views.target_rgba.reshape(-1, *views.target_rgba.shape[2:])[:limit]
    disparity = views.target_disparity.reshape(-1, *views.target_disparity.shape[2:])[:limit]
    seen = (rgba[..., 3] >= 128).any((1, 2))
    return DepthSet(
        rgb_NHWC=rgba[seen][..., :3],
        alpha_NHW=rgba[seen][..., 3],
        disparity_NHW=disparity[seen],
        framed=False,
    )


def as_depths(solids: CoarseSet) -> DepthSet:
    """Cut-outs of ``coarse_data.build_coarse``, framed as a subject crop is, over white."""
    return DepthSet(
        rgb_NHWC=solids.rgba_NSSC[..., :3],
        alpha_NHW=solids.rgba_NSSC[..., 3],
        disparity_NHW=solids.disparity_NSS,
        framed=False,
    )


def _inverse(depth: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, 1 / depth, 0).astype(np.float16)


def new_dpt() -> Any:
    """An untrained embedded DPT, 2.7 M parameters: 64x64 pixels, the tower of the coarse shape to 32x32 tokens.

    With 8x8 tokens arms of sofas and layers of cakes ran into each other.
    """
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        hidden_size=HIDDEN,
        # Of the transformer that the tower stands in for; each of three scales reads one of its layers.
        num_hidden_layers=3,
        backbone_out_indices=[0, 1, 2],
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=SIZE // SIDE,
        is_hybrid=False,
        backbone_config=None,
        readout_type="ignore",
        # The head ends at twice the input's side: the tokens' grid, doubled by the fusion and by the head.
        neck_hidden_sizes=[32, 48, 64],
        reassemble_factors=[1, 0.5, 0.25],
        fusion_hidden_size=32,
        neck_ignore_stages=[],
        use_auxiliary_head=False,
        conv_widths=TOWER_WIDTHS,  # type: ignore[call-arg]
        conv_deep_blocks=DEEP_BLOCKS,
    )
    return with_conv_tower(DPTForDepthEstimation)(config)


def new_processor() -> Any:
    """The official preprocessing with this model's numbers."""
    from transformers import DPTImageProcessor

    return DPTImageProcessor(
        do_resize=True,
        size={"height": SIZE, "width": SIZE},
        keep_aspect_ratio=False,
        ensure_multiple_of=1,
        resample=3,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


class OpenReLU(nn.Module):
    """The head's final ReLU, let ajar while training: without a gradient a closed one never opens again."""

    def forward(self, x: Tensor) -> Tensor:
        """ReLU in evaluation; slope 0.1 below zero in training."""
        return F.leaky_relu(x, 0.1) if self.training else F.relu(x)


@torch.no_grad()
def initialize(model: Any, generator: torch.Generator) -> None:
    """Weights that let a signal through a DPT made from nothing.

    transformers starts every convolution at 0.02, meant for a pretrained backbone: 10^-7 then comes out of this head,
    behind a ReLU.
    """
    for module in (*model.neck.modules(), *model.head.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            fan_in = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.weight.shape[0]
            module.weight.normal_(std=(1.5 / fan_in) ** 0.5, generator=generator)
    model.head.head[-1] = OpenReLU()
    last = model.head.head[-2]
    last.weight.mul_(0.05)
    last.bias.fill_(OUTPUT_MEAN)


class DepthTask:
    """Disparity of subjects over white.

    Args:
        sources: sets to draw from, each with its share of a batch.
        held_out: sets for the figures, by name, never trained on.
        tower: the encoder of a trained coarse shape, to start from; None = from nothing.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(
        self,
        sources: list[tuple[DepthSet, float]],
        held_out: dict[str, DepthSet],
        *,
        tower: nn.Module | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self.model = new_dpt()
        initialize(self.model, torch.Generator().manual_seed(seed))
        if tower is not None:
            self.model.dpt.encoder.load_state_dict(tower.state_dict())
        self.model.to(memory_format=torch.channels_last)
        self._sources, self._held_out, self._size = sources, held_out, batch_size

    def modules(self) -> dict[str, nn.Module]:
        """The DPT."""
        return {"dpt": self.model}

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Crops from all sources, their disparity, and where it counts."""
        shares = np.array([share for _, share in self._sources])
        counts = rng.multinomial(self._size, shares / shares.sum())
        parts = [draw_crops(source, rng, int(n)) for (source, _), n in zip(self._sources, counts, strict=True) if n]
        images, disparity, mask = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        return images, disparity, mask

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """``disparity_loss`` of the estimate."""
        images, disparity, mask = batch
        predicted = self.model(pixel_values=images * 2 - 1).predicted_depth
        # The head answers at twice the input's side.
        return disparity_loss(F.avg_pool2d(predicted.float(), 2), disparity, mask)

    def validate(self) -> dict[str, float]:
        """Mean Pearson correlation inside the mask on every held-out set, and its lowest twentieth."""
        estimator = DptDepth(self.model, new_processor())
        figures = {}
        for name, scenes in self._held_out.items():
            values = correlations(estimator, scenes)
            figures[f"pearson_{name}"] = float(np.mean(values))
            figures[f"pearson_{name}_p05"] = float(np.quantile(values, 0.05))
        return figures

    def sheet(self) -> UInt8:
        """Held-out pictures, true disparity and estimate, one block a set."""
        estimator = DptDepth(self.model, new_processor())
        blocks = [sample_sheet(estimator, scenes) for scenes in self._held_out.values()]
        return np.concatenate(blocks, axis=0)


def draw_crops(source: DepthSet, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random crops over white in which the subject fills nearly the whole square, mirrored or not.

    Returns:
        images (B, 3, 64, 64) in [0, 1], disparity (B, 64, 64), and where it counts (B, 64, 64) in {0, 1}.
    """
    pick = rng.integers(len(source.rgb_NHWC), size=count)
    fill = rng.uniform(*_FILL, count)
    shift = rng.uniform(-1, 1, (count, 2)) * (1 - fill)[:, None]
    mirrored = rng.random(count) < 0.5
    rgb, alpha, disparity, mask = crop_subjects(source, pick, fill, shift, mirrored)
    if source.framed:
        # A cut-out made by a segmenter has a rim that is a little too wide or too narrow.
        rgb = 1 + (rgb - 1) * _resize_rim(alpha, rng)
    return recolor(rgb.clamp(0, 1), rng), disparity, mask


def _resize_rim(alpha_B1HW: Tensor, rng: np.random.Generator) -> Tensor:
    widen = torch.from_numpy(rng.integers(-1, 2, len(alpha_B1HW)))[:, None, None, None]
    wider = F.max_pool2d(alpha_B1HW, 3, stride=1, padding=1)
    narrower = -F.max_pool2d(-alpha_B1HW, 3, stride=1, padding=1)
    return torch.where(widen > 0, wider, torch.where(widen < 0, narrower, alpha_B1HW))


def crop_subjects(
    source: DepthSet,
    pick_B: np.ndarray,
    fill_B: np.ndarray,
    shift_B2: np.ndarray,
    mirrored_B: np.ndarray,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Square crops around subjects.

    Args:
        source: where from.
        pick_B: (B,) rows.
        fill_B: (B,) longer side of the subject's box as a share of the crop.
        shift_B2: (B, 2) where the box's centre goes, x right and y down, in half crops.
        mirrored_B: (B,) left and right swapped.

    Returns:
        rgb (B, 3, 64, 64), alpha (B, 1, 64, 64), disparity and mask (B, 64, 64).
    """
    rgb = torch.from_numpy(source.rgb_NHWC[pick_B]).permute(0, 3, 1, 2).float() / 255
    alpha = torch.from_numpy(source.alpha_NHW[pick_B])[:, None].float() / 255
    known = torch.from_numpy(source.disparity_NHW[pick_B].astype(np.float32))[:, None]
    centre, half = _boxes(source.alpha_NHW[pick_B] >= 128)
    zoom = half / fill_B
    centre = centre - shift_B2 * zoom[:, None]
    flip = np.where(mirrored_B, -1.0, 1.0)
    theta = np.zeros((len(pick_B), 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 0, 2] = zoom * flip, centre[:, 0]
    theta[:, 1, 1], theta[:, 1, 2] = zoom, centre[:, 1]
    grid = F.affine_grid(torch.from_numpy(theta), [len(pick_B), 1, SIZE, SIZE], align_corners=False)
    # Colour over white: what lies outside a cut-out's picture is white; a photograph's edge goes on.
    if source.framed:
        moved = F.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
    else:
        moved = 1 + F.grid_sample(rgb - 1, grid, align_corners=False)
    cover = F.grid_sample(alpha, grid, align_corners=False)
    # Blended among known neighbours: the nearest one's value would lie up to half a pixel beside its place.
    inside = ((known > 0) & (alpha >= 0.5)).float()
    summed, share = F.grid_sample(torch.cat([known * inside, inside], 1), grid, align_corners=False).unbind(1)
    return moved, cover, summed / share.clamp(min=1e-6), (share >= 0.5).float()


def _boxes(masks_BHW: Bool) -> tuple[np.ndarray, np.ndarray]:
    """Centre (B, 2) and half the longer side (B,) of each mask in ``grid_sample``'s units."""
    centres, halves = [], []
    for mask in masks_BHW:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        low = np.array([columns[0], rows[0]]) if len(rows) else np.zeros(2)
        high = np.array([columns[-1], rows[-1]]) + 1 if len(rows) else np.full(2, mask.shape[0])
        centres.append((low + high) / mask.shape[0] - 1)
        halves.append(float((high - low).max()) / mask.shape[0])
    return np.array(centres), np.array(halves)


def disparity_loss(predicted_BHW: Tensor, disparity_BHW: Tensor, mask_BHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Scale- and shift-invariant error, its gradients at three scales, and a weak pull of the output's own scale.

    Returns:
        the loss, and the mean Pearson correlation.
    """
    guess, guess_mean, guess_std = _standardized(predicted_BHW, mask_BHW)
    truth, _, _ = _standardized(disparity_BHW, mask_BHW)
    area = mask_BHW.sum((1, 2)).clamp(min=1)
    pearson = (guess * truth * mask_BHW).sum((1, 2)) / area
    absolute = ((guess - truth).abs() * mask_BHW).sum((1, 2)) / area
    gradient = _gradient_loss(guess - truth, mask_BHW)
    scale = (guess_mean - OUTPUT_MEAN).square() + (guess_std - OUTPUT_STD).square()
    loss = (1 - pearson).mean() + 0.5 * absolute.mean() + 0.5 * gradient + 0.05 * scale.mean()
    return loss, {"pearson": pearson.detach().mean(), "gradient": gradient.detach()}


def _standardized(values_BHW: Tensor, mask_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values with mean 0 and deviation 1 inside each mask, and the two numbers, (B,)."""
    area = mask_BHW.sum((1, 2)).clamp(min=1)
    mean = (values_BHW * mask_BHW).sum((1, 2)) / area
    centred = values_BHW - mean[:, None, None]
    std = ((centred.square() * mask_BHW).sum((1, 2)) / area + 1e-8).sqrt()
    return centred / std[:, None, None], mean, std


def _gradient_loss(error_BHW: Tensor, mask_BHW: Tensor) -> Tensor:
    total = error_BHW.new_zeros(())
    for step in (1, 2, 4):
        error, mask = error_BHW[:, ::step, ::step], mask_BHW[:, ::step, ::step]
        for axis in (1, 2):
            length = error.shape[axis] - 1
            both = mask.narrow(axis, 0, length) * mask.narrow(axis, 1, length)
            jump = (error.narrow(axis, 1, length) - error.narrow(axis, 0, length)).abs()
            total = total + (jump * both).sum() / both.sum().clamp(min=1)
    return total / 6


def correlations(estimator: DptDepth, scenes: DepthSet) -> list[float]:
    """Pearson correlation of estimate and truth inside each subject's mask, over white, as the lift asks for it.

    Truth stays in its own pixels: brought to the estimator's by the nearest pixel, it correlates with itself by 0.987
    only when moved by a quarter of a pixel.
    """
    values = []
    for rgb, alpha, disparity in zip(scenes.rgb_NHWC, scenes.alpha_NHW, scenes.disparity_NHW, strict=True):
        subject, truth = alpha >= 128, disparity.astype(np.float32)
        inside = subject & (truth > 0)
        if inside.sum() >= 50 and truth[inside].std() > 1e-5:
            white = np.where(subject[..., None], rgb, np.uint8(255)) if scenes.framed else rgb
            guess = estimate_closely(white, subject, estimator)
            values.append(float(np.corrcoef(guess[inside], truth[inside])[0, 1]))
    return values


def plain_crops(scenes: DepthSet, pick_B: np.ndarray) -> tuple[UInt8, Float32, Bool]:
    """What the lift would show: centred crops over white, the subject filling ``SHOWN_FILL`` of the square."""
    count = len(pick_B)
    never = np.zeros(count, dtype=bool)
    rgb, alpha, disparity, mask = crop_subjects(scenes, pick_B, np.full(count, SHOWN_FILL), np.zeros((count, 2)), never)
    white = rgb * alpha + (1 - alpha) if scenes.framed else rgb
    images = (white.clamp(0, 1).permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return images, disparity.numpy(), mask.numpy() > 0.5


def sample_sheet(estimator: DptDepth, scenes: DepthSet, columns: int = 12) -> UInt8:
    """Rows: pictures, true disparity, estimate; both stretched over the subject's range."""
    images, disparity, mask = plain_crops(scenes, np.arange(min(columns, len(scenes.rgb_NHWC))))
    tiles = []
    for image, truth, inside in zip(images, disparity, mask, strict=True):
        guess = estimator.estimate_disparity(image)
        tiles.append(np.concatenate([image, stretched(truth, inside), stretched(guess, inside)], axis=0))
    return np.concatenate(tiles, axis=1)


def stretched(disparity_HW: Float32, inside_HW: Bool) -> UInt8:
    """(H, W, 3) uint8, the subject's nearest point white, its farthest dark, the rest blue."""
    picture = np.zeros((*disparity_HW.shape, 3), dtype=np.uint8)
    picture[...] = (20, 20, 90)
    if inside_HW.any():
        values = disparity_HW[inside_HW]
        span = max(float(values.max() - values.min()), 1e-6)
        grey = 40 + 215 * (values - values.min()) / span
        picture[inside_HW] = grey[:, None].astype(np.uint8)
    return picture


def save_depth(folder: Path, model: Any, figures: dict[str, float]) -> None:
    """Write the transformers folder of the model, half precision, with its preprocessing and figures."""
    save_half(model, folder, figures)
    new_processor().save_pretrained(str(folder))
