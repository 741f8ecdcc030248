"""The segmenter role over the official ``segment_anything.Sam`` (Kirillov et al. 2023, "Segment Anything").

One loader for every size: ``config.json`` holds the constructor's numbers, and a published ``.pth``, which comes
without one, says them by its shapes; so the small embedded model and the published ViT-B / L / H differ in figures
only. ``SamPredictor`` keeps the current picture on itself; here every call makes its own over the shared, read-only
weights, so calls of different pictures never mix.

Shape suffixes: H W pixels, C channels, N clicks, M masks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lift3d_ray.errors import BundleError, ConfigError, PhotoTooSmall
from lift3d_ray.models.files import read_config, read_weights
from lift3d_ray.models.sam_checkpoint import checkpoint_numbers
from lift3d_ray.models.subjects import Candidate, mask_iou, rank_subjects, resize_mask, tidy_mask
from lift3d_ray.types import MaskProposal, SegmentQuery, UInt8

if TYPE_CHECKING:
    import torch
    from segment_anything import SamPredictor
    from segment_anything.modeling import Sam


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """Constructor numbers of a ``Sam`` and the settings of its automatic mode; the content of ``config.json``.

    Attributes:
        image_size: side of the square input, pixels.
        patch_size: side of a token, pixels.
        encoder_dim: width of the image encoder.
        encoder_depth: its blocks.
        encoder_heads: its attention heads.
        window_size: side of its local attention windows in tokens; 0 = all blocks global.
        global_attention: blocks that stay global.
        relative_positions: relative position terms in its attention.
        conv_widths: channels of the stages of a convolutional encoder in place of the ViT, whose settings then mean
            nothing; empty in every published model.
        prompt_dim: channels of image embedding, prompts and decoder.
        mask_channels: channels of the mask prompt's encoder.
        decoder_depth: two-way blocks of the mask decoder.
        decoder_heads: their attention heads.
        decoder_mlp_dim: their hidden width.
        iou_depth: layers of the quality head.
        iou_dim: its hidden width.
        pixel_mean: of the input, in 0..255.
        pixel_std: of the input, in 0..255.
        weights: file in the same folder: ``.safetensors``, or a published ``.pth``.
        automatic_side_px: longest side at which the automatic mode works; larger pictures are shrunk for it.
        points_per_side: its grid of clicks.
        pred_iou_thresh: lowest predicted IoU it accepts.
        stability_score_thresh: lowest stability under a shifted mask threshold.
        stability_score_offset: that shift, in logits.
        box_nms_thresh: box IoU above which two masks are one.
        second_look: cut the best proposal out again from a closer crop, where it leaves room for one.
    """

    image_size: int = 1024
    patch_size: int = 16
    encoder_dim: int
    encoder_depth: int
    encoder_heads: int
    window_size: int = 14
    global_attention: tuple[int, ...]
    relative_positions: bool = True
    conv_widths: tuple[int, ...] = ()
    prompt_dim: int = 256
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_depth: int = 3
    iou_dim: int = 256
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    weights: str = "model.safetensors"
    automatic_side_px: int = 1024
    points_per_side: int = 32
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    second_look: bool = False

    def __post_init__(self) -> None:
        if self.image_size < 1 or self.image_size % self.patch_size:
            raise ConfigError(f"image_size must be a multiple of patch_size {self.patch_size}, got {self.image_size}")
        if self.encoder_dim % self.encoder_heads or self.prompt_dim % (2 * self.decoder_heads):
            raise ConfigError(
                f"heads must divide widths, got encoder {self.encoder_dim} / {self.encoder_heads} and "
                f"decoder {self.prompt_dim} / 2 / {self.decoder_heads}"
            )
        if any(index >= self.encoder_depth for index in self.global_attention):
            raise ConfigError(f"global_attention {self.global_attention} names blocks beyond {self.encoder_depth}")
        if self.conv_widths and (len(self.conv_widths) < 3 or self.patch_size != 8):
            raise ConfigError(
                f"a convolutional encoder needs at least 3 widths and makes tokens of 8 pixels, got "
                f"{self.conv_widths} and patch_size {self.patch_size}"
            )
        if not 1 <= self.points_per_side <= 64:
            raise ConfigError(f"points_per_side must be within 1..64, got {self.points_per_side}")


def build_sam(config: SamConfig) -> Sam:
    """An official ``Sam`` of these numbers with fresh weights, in evaluation mode."""
    from functools import partial

    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    tokens = config.image_size // config.patch_size
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.encoder_dim,
            depth=config.encoder_depth,
            num_heads=config.encoder_heads,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=config.relative_positions,
            window_size=config.window_size,
            global_attn_indexes=config.global_attention,
            out_chans=config.prompt_dim,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=config.prompt_dim,
            image_embedding_size=(tokens, tokens),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.prompt_dim,
                mlp_dim=config.decoder_mlp_dim,
                num_heads=config.decoder_heads,
            ),
            transformer_dim=config.prompt_dim,
            iou_head_depth=config.iou_depth,
            iou_head_hidden_dim=config.iou_dim,
        ),
        pixel_mean=list(config.pixel_mean),
        pixel_std=list(config.pixel_std),
    )
    if config.conv_widths:
        from lift3d_ray.models.conv_encoder import ConvEncoder

        sam.image_encoder = ConvEncoder(config.image_size, config.conv_widths, config.prompt_dim)
    return sam.eval()


_CLOSER = 1.2
"""Side of the closer crop over the longer side of the subject's box."""
_WORTH_IT = 0.9
"""A crop larger than this part of the picture shows little more than the picture did."""
_NARROWEST_PX = 24
_SAME_THING = 0.6
"""IoU of both looks below which they saw different things."""


class SamSegmenter:
    """``Segmenter`` over an official ``Sam``; holds weights only, so one instance serves many threads.

    Args:
        sam: the model, on its device.
        config: settings of the automatic mode.
        dtype: precision of the image encoder, where nearly all the work is; prompts and masks stay float32, because
            positions lose their meaning in half precision.
    """

    def __init__(self, sam: Sam, config: SamConfig, *, dtype: torch.dtype | None = None) -> None:
        import torch

        self._sam = sam.eval()
        self._config = config
        if dtype is not None and dtype != torch.float32:
            encoder = self._sam.image_encoder.to(dtype)
            encoder.register_forward_pre_hook(lambda _, inputs: tuple(x.to(dtype) for x in inputs))
            encoder.register_forward_hook(lambda _, __, output: output.float())

    def segment(self, query: SegmentQuery) -> list[MaskProposal]:
        """Proposals, best first: for one click three readings of it, for more prompts one mask, for none all subjects.

        Raises:
            ValueError: prompts that contradict themselves or the picture.
            PhotoTooSmall: a picture so narrow that nothing is left of it at the model's input size.
        """
        _check(query, self._config.image_size)
        is_prompted = bool(query.points_xy_px) or query.box_xyxy_px is not None
        proposals = self._prompted(query) if is_prompted else self._automatic(query.rgb_HWC)
        if self._config.second_look and proposals:
            proposals[0] = self._look_again(query.rgb_HWC, proposals[0])
        return proposals

    def _prompted(self, query: SegmentQuery) -> list[MaskProposal]:
        predictor = self._look_at(query.rgb_HWC)
        ambiguous = query.box_xyxy_px is None and len(query.points_xy_px) == 1
        clicks = np.asarray(query.points_xy_px, dtype=np.float64) if query.points_xy_px else None
        labels = np.asarray(query.labels, dtype=np.int64) if query.points_xy_px else None
        # SAM's box corners are pixel indices, ours are half-open edges.
        box = None if query.box_xyxy_px is None else np.asarray(query.box_xyxy_px) - np.array([0, 0, 1, 1])
        masks_MHW, scores_M, _ = predictor.predict(clicks, labels, box, multimask_output=ambiguous)
        proposals = [
            MaskProposal(mask_HW=np.ascontiguousarray(mask, dtype=np.bool_), score=float(np.clip(score, 0, 1)))
            for mask, score in zip(masks_MHW, scores_M, strict=True)
            if mask.any()
        ]
        return sorted(proposals, key=lambda proposal: -proposal.score)

    def _automatic(self, rgb_HWC: UInt8) -> list[MaskProposal]:
        from segment_anything import SamAutomaticMaskGenerator

        config = self._config
        generator = SamAutomaticMaskGenerator(
            self._sam,
            points_per_side=config.points_per_side,
            pred_iou_thresh=config.pred_iou_thresh,
            stability_score_thresh=config.stability_score_thresh,
            stability_score_offset=config.stability_score_offset,
            box_nms_thresh=config.box_nms_thresh,
        )
        records = generator.generate(_shrunk(rgb_HWC, config.automatic_side_px))
        candidates = [
            Candidate(
                mask_HW=np.asarray(record["segmentation"], dtype=np.bool_),
                predicted_iou=float(np.clip(record["predicted_iou"], 0, 1)),
                stability=float(np.clip(record["stability_score"], 0, 1)),
            )
            for record in records
        ]
        ranked = rank_subjects(candidates)
        size = rgb_HWC.shape[:2]
        return [MaskProposal(mask_HW=resize_mask(c.mask_HW, size), score=c.predicted_iou) for c in ranked]

    def _look_again(self, rgb_HWC: UInt8, first: MaskProposal) -> MaskProposal:
        """The same subject cut out from a closer crop, where its rim falls on more of the model's pixels."""
        rows, columns = np.flatnonzero(first.mask_HW.any(1)), np.flatnonzero(first.mask_HW.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        side = round(_CLOSER * float(max(box[2] - box[0], box[3] - box[1])))
        height, width = first.mask_HW.shape
        if side >= _WORTH_IT * max(height, width) or min(side, height, width) < _NARROWEST_PX:
            return first
        left, top = (
            int(np.clip(round((box[k] + box[k + 2] - side) / 2), 0, max(0, length - side)))
            for k, length in ((0, width), (1, height))
        )
        part = (slice(top, top + side), slice(left, left + side))
        closer = self._prompted(
            SegmentQuery(
                rgb_HWC=np.ascontiguousarray(rgb_HWC[part]),
                box_xyxy_px=tuple(float(edge) for edge in box - np.array([left, top, left, top])),  # type: ignore[arg-type]
            )
        )
        if not closer:
            return first
        mask = np.zeros_like(first.mask_HW)
        mask[part] = tidy_mask(closer[0].mask_HW)
        # Another thing than before: the closer crop has lost what told them apart.
        return replace(first, mask_HW=mask) if mask_iou(mask, first.mask_HW) >= _SAME_THING else first

    def _look_at(self, rgb_HWC: UInt8) -> SamPredictor:
        from segment_anything import SamPredictor

        predictor = SamPredictor(self._sam)
        predictor.set_image(np.ascontiguousarray(rgb_HWC))
        return predictor


def load_segmenter(folder: Path, device: str = "cpu", dtype: torch.dtype | None = None) -> SamSegmenter:
    """Load ``config.json`` and the weights it names, or a published ``.pth`` alone.

    Args:
        folder: holds both files, or the one.
        device: torch device.
        dtype: precision of the image encoder, float32 when None.

    Raises:
        BundleError: a file missing, damaged, or not fitting the other.
    """
    published = sorted(folder.glob("*.pth"))
    if published and not (folder / "config.json").exists():
        if len(published) > 1:
            raise BundleError(f"{folder} holds {[path.name for path in published]}: leave the one to be used")
        path = published[0]
        state = read_weights(path)
        config = _config_of_checkpoint(state, path)
    else:
        config = _config_of(folder)
        path = folder / config.weights
        state = read_weights(path)
    sam = _filled(config, state, path)
    return SamSegmenter(sam.to(device).requires_grad_(False), config, dtype=dtype)


def save_segmenter(folder: Path, sam: Sam, config: SamConfig, dtype: torch.dtype) -> None:
    """Write ``config.json`` and ``model.safetensors`` with the weights cast to ``dtype``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().to("cpu", dtype).contiguous() for name, value in sam.state_dict().items()}
    save_file(weights, str(folder / config.weights))
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")


def _config_of(folder: Path) -> SamConfig:
    found = read_config(folder)
    known = {field.name for field in fields(SamConfig)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise BundleError(f"{folder / 'config.json'} holds {unknown}, wanted only {sorted(known)}")
    numbers: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    try:
        return SamConfig(**numbers)
    except (TypeError, ConfigError) as error:
        raise BundleError(f"{folder / 'config.json'} does not describe a Sam: {error}") from error


def _config_of_checkpoint(state: Mapping[str, torch.Tensor], path: Path) -> SamConfig:
    try:
        return SamConfig(**checkpoint_numbers(state), weights=path.name)
    except (KeyError, IndexError, ValueError, ConfigError) as error:
        raise BundleError(f"{path} does not hold a published Sam: its tensors lack or garble {error}") from error


def _filled(config: SamConfig, state: Mapping[str, torch.Tensor], path: Path) -> Sam:
    """A ``Sam`` of these weights in single precision, made without drawing others first."""
    import torch

    with torch.device("meta"):
        sam = build_sam(config)
    wanted = {name: tuple(value.shape) for name, value in sam.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [
        f"{name}: found {found.get(name, 'nothing')}, wanted {wanted.get(name, 'nothing')}"
        for name in sorted(wanted.keys() | found.keys())
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise BundleError(f"{path} does not fit its config.json in {len(wrong)} tensors: " + "; ".join(wrong[:4]))
    sam.to_empty(device="cpu").load_state_dict(dict(state))
    # What no file holds.
    for name in ("pixel_mean", "pixel_std"):
        sam.register_buffer(name, torch.tensor(getattr(config, name)).view(-1, 1, 1), persistent=False)
    return sam


def _shrunk(rgb_HWC: UInt8, side_px: int) -> UInt8:
    """The picture with its longest side at most ``side_px``, area averaged."""
    from PIL import Image

    height, width = rgb_HWC.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(rgb_HWC)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(rgb_HWC).resize(size, Image.Resampling.BOX), dtype=np.uint8)


def _check(query: SegmentQuery, image_size: int) -> None:
    rgb = query.rgb_HWC
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb must be (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    height, width = rgb.shape[:2]
    if min(height, width) * image_size < 4 * max(height, width):
        raise PhotoTooSmall(
            f"a {width} x {height} picture is too narrow: under 4 pixels remain of its short side once the long one "
            f"is scaled to {image_size}; crop it first"
        )
    if len(query.points_xy_px) != len(query.labels):
        raise ValueError(f"every click needs a label, got {len(query.points_xy_px)} clicks, {len(query.labels)} labels")
    outside = [p for p in query.points_xy_px if not (0 <= p[0] <= width and 0 <= p[1] <= height)]
    if outside:
        raise ValueError(f"clicks must lie in the {width} x {height} picture, got {outside}")
    if query.points_xy_px and not any(query.labels) and query.box_xyxy_px is None:
        raise ValueError("clicks that are all off the subject do not say what it is: add one on it, or a box")
    box = query.box_xyxy_px
    if box is not None and not (box[0] + 1 <= box[2] and box[1] + 1 <= box[3]):
        raise ValueError(f"a box is (left, top, right, bottom) at least a pixel wide and high, got {box}")
