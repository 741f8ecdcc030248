"""The embedded segmenter: a small official ``Sam`` trained on composites, prompt by prompt.

As in the paper (Kirillov et al. 2023, section 3 and appendix A): clicks and jittered boxes, the best of three readings
is trained, a quality head learns each mask's IoU, some prompts get a corrective click beside the previous mask. One
change: a click on the background has quality 0 as its target, so the quality tells things from backdrops, which the
automatic mode needs and a world of single objects can teach.

Shape suffixes: B pictures, P prompts a picture, Q = B P, N clicks, M masks, H W pixels, h w mask cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lift3d_ray.models.segmenter import SamConfig, SamSegmenter, build_sam
from lift3d_ray.models.subjects import mask_iou
from lift3d_ray.toybox.scene_dataset import load_scenes
from lift3d_ray.toybox.scenes import MAIN
from lift3d_ray.toybox.training.augment import recolor, reframe
from lift3d_ray.types import Bool, MaskProposal, SegmentQuery, UInt8

TOYBOX_SAM = SamConfig(
    image_size=128,
    patch_size=8,
    encoder_dim=32,
    encoder_depth=1,
    encoder_heads=1,
    window_size=0,
    global_attention=(),
    relative_positions=False,
    conv_widths=(16, 40, 96, 128, 160),
    prompt_dim=96,
    decoder_heads=4,
    decoder_mlp_dim=256,
    iou_dim=128,
    automatic_side_px=256,
    points_per_side=10,
    pred_iou_thresh=0.4,
    stability_score_thresh=0.25,
    second_look=True,
)
"""The embedded model's numbers."""

CLICKS_PER_PICTURE = 2
BOXES_PER_PICTURE = 1
BACKGROUND_CLICKS = 0.2
SMALLEST_INSTANCE_PX = 24


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Composite pictures with an instance map.

    Attributes:
        rgb_NHWC: (N, S, S, 3) uint8.
        instances_NHW: (N, S, S) uint8, 0 = background, ``MAIN`` = the subject, larger = other things.
    """

    rgb_NHWC: UInt8
    instances_NHW: UInt8


class Prompts(NamedTuple):
    """Prompts of a batch, clicks before boxes in every picture.

    Attributes:
        clicks_BPX: (B, P1, 2) pixels.
        boxes_BPX: (B, P2, 4) pixels, SAM's corner indices.
        targets_BPHW: (B, P1 + P2, S, S) float in {0, 1}.
        is_thing_BP: (B, P1 + P2) float, 0 where the prompt met background.
    """

    clicks_BPX: Tensor
    boxes_BPX: Tensor
    targets_BPHW: Tensor
    is_thing_BP: Tensor


class _Batch(NamedTuple):
    """Preprocessed pictures, their prompts, and which click of each picture gets a correction, from what seed."""

    pixels_B3HW: Tensor
    prompts: Prompts
    corrected_B: Tensor
    correction_seed: int


def load_composites(folder: Path, *, limit: int | None = None) -> Scenes:
    """Pictures and instance maps that ``scene_dataset.build_scenes`` wrote."""
    scenes = load_scenes(folder, limit=limit)
    return Scenes(rgb_NHWC=scenes.rgb, instances_NHW=scenes.ids)


def decode(sam: Any, embeddings_BCHW: Tensor, sparse_QND: Tensor, dense_QDHW: Tensor) -> tuple[Tensor, Tensor]:
    """The official decoder over many pictures at once.

    ``MaskDecoder`` adds one picture's embedding to every prompt's dense embedding. Handing it the sum and an empty
    picture lets prompts of different pictures share the pass.

    Args:
        sam: the model.
        embeddings_BCHW: picture embeddings.
        sparse_QND: prompt tokens, Q a multiple of B, pictures in order.
        dense_QDHW: dense prompts.

    Returns:
        mask logits (Q, 4, h, w) and predicted IoU (Q, 4); the first of four answers unambiguous prompts.
    """
    per_picture = sparse_QND.shape[0] // embeddings_BCHW.shape[0]
    dense = dense_QDHW + embeddings_BCHW.repeat_interleave(per_picture, dim=0)
    logits, quality = sam.mask_decoder.predict_masks(
        image_embeddings=torch.zeros_like(embeddings_BCHW[:1]),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse_QND,
        dense_prompt_embeddings=dense,
    )
    return logits, quality


def draw_prompts(instances_BHW: NDArray[np.int64], rng: np.random.Generator, clicks: int, boxes: int) -> Prompts:
    """Random prompts: half on the main subject, the others on any other thing or, clicks only, on the background."""
    batch, height, width = instances_BHW.shape
    at = np.zeros((batch, clicks, 2), dtype=np.float32)
    corners = np.zeros((batch, boxes, 4), dtype=np.float32)
    targets = np.zeros((batch, clicks + boxes, height, width), dtype=np.bool_)
    things = np.zeros((batch, clicks + boxes), dtype=np.float32)
    for b, picture in enumerate(instances_BHW):
        counts = np.bincount(picture.ravel(), minlength=2)
        present = [int(i) for i in np.flatnonzero(counts >= SMALLEST_INSTANCE_PX) if i > 0]
        for p in range(clicks + boxes):
            chosen = _choose(present, bool(counts[0]), p < clicks, rng)
            mask = picture == chosen
            targets[b, p], things[b, p] = mask, float(chosen > 0)
            if p < clicks:
                at[b, p] = _point_in(mask, rng)
            else:
                corners[b, p - clicks] = _jittered_box(mask, rng)
    return Prompts(
        clicks_BPX=torch.from_numpy(at),
        boxes_BPX=torch.from_numpy(corners),
        targets_BPHW=torch.from_numpy(targets).float(),
        is_thing_BP=torch.from_numpy(things),
    )


def _choose(present: list[int], has_background: bool, clicking: bool, rng: np.random.Generator) -> int:
    if not present or (clicking and has_background and rng.random() < BACKGROUND_CLICKS):
        return 0
    if MAIN in present and rng.random() < 0.5:
        return MAIN
    return int(rng.choice(present))


def _point_in(mask_HW: Bool, rng: np.random.Generator) -> tuple[float, float]:
    rows, columns = np.nonzero(mask_HW)
    if len(rows) == 0:
        return (mask_HW.shape[1] / 2, mask_HW.shape[0] / 2)
    pick = int(rng.integers(len(rows)))
    return float(columns[pick]), float(rows[pick])


def _jittered_box(mask_HW: Bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """The mask's box, each corner moved by up to a tenth of its side, as a hand would draw it."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if len(rows) == 0:
        return np.array([0, 0, mask_HW.shape[1] - 1, mask_HW.shape[0] - 1], dtype=np.float32)
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float32)
    side = np.maximum(box[2:] - box[:2], 4)
    box += rng.normal(0, 0.05, 4).clip(-0.1, 0.1).astype(np.float32) * np.concatenate([side, side])
    return np.asarray(box.clip(0, mask_HW.shape[0] - 1), dtype=np.float32)


class SegmenterTask:
    """Clicks and boxes on composites.

    Args:
        scenes: pictures to train on.
        held_out: pictures for the figures, never trained on.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(self, scenes: Scenes, held_out: Scenes, *, batch_size: int = 16, seed: int = 0) -> None:
        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self.config = TOYBOX_SAM
        self.sam = build_sam(self.config)
        self._scenes, self._held_out, self._size = scenes, held_out, batch_size

    def modules(self) -> dict[str, nn.Module]:
        """The Sam."""
        return {"sam": self.sam}

    def draw(self, rng: np.random.Generator) -> _Batch:
        """Varied composites with clicks and boxes."""
        images_B3HW, instances_BHW, shown_BHW = self._batch(rng)
        return _Batch(
            pixels_B3HW=self._normalized(images_B3HW, shown_BHW),
            prompts=draw_prompts(instances_BHW.numpy(), rng, CLICKS_PER_PICTURE, BOXES_PER_PICTURE),
            corrected_B=torch.from_numpy(rng.integers(CLICKS_PER_PICTURE, size=len(images_B3HW))),
            correction_seed=int(rng.integers(2**62)),
        )

    def loss(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Masks and qualities of one batch: a first answer to every prompt, a corrected one to some."""
        prompts = batch.prompts
        embeddings = self.sam.image_encoder(batch.pixels_B3HW)
        sparse, dense = self._embed(prompts)
        logits_QMhw, quality_QM = decode(self.sam, embeddings, sparse, dense)
        targets_Qhw = F.avg_pool2d(prompts.targets_BPHW.flatten(0, 1)[:, None], 2)[:, 0]
        things_Q = prompts.is_thing_BP.flatten()
        ambiguous_Q = _ambiguous(things_Q, len(embeddings))
        first, iou = _prompt_loss(logits_QMhw, quality_QM, targets_Qhw, things_Q, ambiguous_Q)
        second, corrected = self._correction(batch, embeddings, logits_QMhw.detach(), quality_QM.detach())
        return first + 0.5 * second, {"iou": iou, "iou_corrected": corrected}

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pick = np.sort(rng.integers(len(self._scenes.rgb_NHWC), size=self._size))
        rgb = torch.from_numpy(self._scenes.rgb_NHWC[pick]).permute(0, 3, 1, 2).float() / 255
        instances = torch.from_numpy(self._scenes.instances_NHW[pick].astype(np.int64))
        rgb, instances = _cut_out(rgb, instances, rng)
        rgb, instances, shown = reframe(rgb, instances, rng)
        return recolor(rgb, rng), instances, shown

    def _normalized(self, images_B3HW: Tensor, shown_BHW: Tensor) -> Tensor:
        """As ``Sam.preprocess``: standardised pixels, zeros where a picture does not fill the square."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.config.pixel_mean, self.config.pixel_std))
        return (images_B3HW * 255 - mean) / std * shown_BHW[:, None]

    def _embed(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Prompt tokens of all pictures, (Q, 2, D): click and padding, or two corners."""
        encoder = self.sam.prompt_encoder
        clicks = prompts.clicks_BPX.flatten(0, 1)[:, None]
        pointed, _ = encoder((clicks, clicks.new_ones(clicks.shape[:2])), None, None)
        boxed, _ = encoder(None, prompts.boxes_BPX.flatten(0, 1), None)
        batch = len(prompts.clicks_BPX)
        sparse = torch.cat([pointed.unflatten(0, (batch, -1)), boxed.unflatten(0, (batch, -1))], dim=1).flatten(0, 1)
        cells = encoder.image_embedding_size
        dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(sparse), -1, *cells)
        return sparse, dense

    def _correction(
        self, batch: _Batch, embeddings_BCHW: Tensor, logits_QMhw: Tensor, quality_QM: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A second click where the first click's best mask is wrong, with that mask as a dense prompt."""
        prompts, chosen = batch.prompts, batch.corrected_B
        count, total = prompts.is_thing_BP.shape
        pictures = torch.arange(count, device=chosen.device)
        rows = pictures * total + chosen
        best = quality_QM[rows, 1:].argmax(1) + 1
        previous = logits_QMhw[rows, best][:, None]
        targets = prompts.targets_BPHW.flatten(0, 1)[rows]
        predicted = F.interpolate(previous, size=targets.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
        first = prompts.clicks_BPX[pictures, chosen]
        rng = np.random.default_rng(batch.correction_seed)
        at, right = _corrective_clicks(predicted.cpu().numpy(), targets.cpu().numpy() > 0.5, rng)
        clicks, labels = torch.stack([first, at.to(first)], dim=1), right.to(first)
        given = (clicks, torch.stack([torch.ones_like(labels), labels], 1))
        sparse, dense = self.sam.prompt_encoder(given, None, previous)
        logits, quality = decode(self.sam, embeddings_BCHW, sparse, dense)
        low = F.avg_pool2d(targets[:, None], 2)[:, 0]
        things = prompts.is_thing_BP.flatten()[rows]
        return _prompt_loss(logits, quality, low, things, torch.zeros_like(things))

    def validate(self) -> dict[str, float]:
        """One-click, box and automatic IoU of the main subject on held-out pictures, and what else matters."""
        return evaluate(SamSegmenter(self.sam, self.config), self._held_out, automatic=64)

    def sheet(self) -> UInt8:
        """Held-out pictures: as they are, the truth, one click's answer, the automatic subject."""
        return sample_sheet(SamSegmenter(self.sam, self.config), self._held_out)


def _ambiguous(things_Q: Tensor, batch: int) -> Tensor:
    """(Q,) 1 for clicks, which have several readings; 0 for boxes."""
    return things_Q.new_tensor([1.0] * CLICKS_PER_PICTURE + [0.0] * BOXES_PER_PICTURE).repeat(batch)


def _cut_out(rgb_B3HW: Tensor, instances_BHW: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One picture in six becomes a cut-out: its subject over white or one flat colour."""
    chosen = torch.from_numpy(rng.random(len(rgb_B3HW)) < 1 / 6)
    colour = torch.from_numpy(rng.random((len(rgb_B3HW), 3, 1, 1)).astype(np.float32))
    colour[torch.from_numpy(rng.random(len(rgb_B3HW)) < 0.6)] = 1.0
    main_BHW = instances_BHW == MAIN
    soft = F.avg_pool2d(main_BHW[:, None].float(), 3, stride=1, padding=1)
    plain = rgb_B3HW * soft + colour * (1 - soft)
    rgb = torch.where(chosen[:, None, None, None], plain, rgb_B3HW)
    return rgb, torch.where(chosen[:, None, None], main_BHW.long() * MAIN, instances_BHW)


def _prompt_loss(
    logits_QMhw: Tensor, quality_QM: Tensor, targets_Qhw: Tensor, things_Q: Tensor, ambiguous_Q: Tensor
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of the single mask and of the best of three readings, and the quality head's square error.

    Returns:
        the loss, and the mean IoU of the trained masks of things.
    """
    logits_QMhw, quality_QM = logits_QMhw.float(), quality_QM.float()
    target = targets_Qhw[:, None]
    chance = logits_QMhw.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits_QMhw, target.expand_as(logits_QMhw), reduction="none")
    focal = ((chance - target).abs().square() * entropy).mean((2, 3))
    overlap = (chance * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    mask_loss_QM = 20 * focal + dice
    with torch.no_grad():
        hard, truth = logits_QMhw > 0, target > 0.5
        iou_QM = (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)
    best = mask_loss_QM[:, 1:].min(dim=1)
    # Boxes and corrected clicks are unambiguous: only the single mask answers them.
    per_prompt = mask_loss_QM[:, 0] + ambiguous_Q * best.values
    masks = (per_prompt * things_Q).sum() / things_Q.sum().clamp(min=1)
    quality = F.mse_loss(quality_QM, iou_QM * things_Q[:, None])
    shown = torch.where(ambiguous_Q > 0, iou_QM.gather(1, best.indices[:, None] + 1)[:, 0], iou_QM[:, 0])
    return masks + quality, (shown * things_Q).sum() / things_Q.sum().clamp(min=1)


def _corrective_clicks(
    predicted_BHW: Bool, truth_BHW: Bool, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A click in the wrong region of each mask, labelled by the truth; anywhere on the thing where nothing is wrong."""
    clicks, labels = [], []
    for predicted, truth in zip(predicted_BHW, truth_BHW, strict=True):
        wrong = predicted != truth
        click = _point_in(wrong if wrong.any() else truth, rng)
        clicks.append(click)
        labels.append(float(truth[min(int(click[1]), truth.shape[0] - 1), min(int(click[0]), truth.shape[1] - 1)]))
    return torch.tensor(clicks), torch.tensor(labels)


def evaluate(segmenter: SamSegmenter, scenes: Scenes, *, automatic: int, seed: int = 0) -> dict[str, float]:
    """Figures over pictures through the same door as everybody else's calls.

    Args:
        segmenter: what to judge.
        scenes: held-out pictures.
        automatic: pictures for the automatic mode, which is slower.
        seed: of the clicks.

    Returns:
        mean IoU of the main subject by one random click, one box and without prompt, and shares of failures.
    """
    rng = np.random.default_rng(seed)
    click, box, auto = [], [], []
    for index, (rgb, instances) in enumerate(zip(scenes.rgb_NHWC, scenes.instances_NHW, strict=True)):
        truth = instances == MAIN
        if truth.sum() < SMALLEST_INSTANCE_PX:
            continue
        clicked = SegmentQuery(rgb_HWC=rgb, points_xy_px=(_point_in(truth, rng),), labels=(True,))
        left, top, right, bottom = (float(v) for v in _jittered_box(truth, rng))
        boxed = SegmentQuery(rgb_HWC=rgb, box_xyxy_px=(left, top, right + 1, bottom + 1))
        click.append(_iou_of(segmenter.segment(clicked), truth))
        box.append(_iou_of(segmenter.segment(boxed), truth))
        if index < automatic:
            auto.append(_iou_of(segmenter.segment(SegmentQuery(rgb_HWC=rgb)), truth))
    return {
        "click_iou": float(np.mean(click)),
        "click_iou_below_half": float(np.mean(np.array(click) < 0.5)),
        "box_iou": float(np.mean(box)),
        "automatic_iou": float(np.mean(auto)),
        "automatic_iou_below_half": float(np.mean(np.array(auto) < 0.5)),
        "pictures": float(len(click)),
        "automatic_pictures": float(len(auto)),
    }


def _iou_of(proposals: list[MaskProposal], truth_HW: Bool) -> float:
    return mask_iou(proposals[0].mask_HW, truth_HW) if proposals else 0.0


def sample_sheet(segmenter: SamSegmenter, scenes: Scenes, columns: int = 12) -> UInt8:
    """Rows: pictures, true subjects, one-click answers (click marked), automatic subjects."""
    rng = np.random.default_rng(1)
    tiles = []
    for rgb, instances in zip(scenes.rgb_NHWC[:columns], scenes.instances_NHW[:columns], strict=True):
        truth = instances == MAIN
        at = _point_in(truth, rng)
        clicked = segmenter.segment(SegmentQuery(rgb_HWC=rgb, points_xy_px=(at,), labels=(True,)))
        alone = segmenter.segment(SegmentQuery(rgb_HWC=rgb))
        answer = _painted(rgb, clicked)
        y, x = int(at[1]), int(at[0])
        answer[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = (255, 0, 0)
        tiles.append(np.concatenate([rgb, _over_magenta(rgb, truth), answer, _painted(rgb, alone)], axis=0))
    return np.concatenate(tiles, axis=1)


def _painted(rgb_HWC: UInt8, proposals: list[MaskProposal]) -> UInt8:
    empty = np.zeros(rgb_HWC.shape[:2], dtype=np.bool_)
    return _over_magenta(rgb_HWC, proposals[0].mask_HW if proposals else empty)


def _over_magenta(rgb_HWC: UInt8, mask_HW: Bool) -> UInt8:
    return np.where(mask_HW[..., None], rgb_HWC, np.array([255, 0, 255], dtype=np.uint8)).astype(np.uint8)
