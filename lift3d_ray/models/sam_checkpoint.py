"""What the shapes in a published Sam checkpoint say of its sizes, so that the file needs no configuration beside it.

Only three numbers of the constructor leave no trace there: the heads of the mask decoder, the mean and the deviation of
the pixels. They are the same in every published model, and ``SamConfig``'s defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_ENCODER = "image_encoder."
_DECODER = "mask_decoder."


def checkpoint_numbers(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of ``SamConfig`` of a published checkpoint.

    Args:
        state: its tensors by name.

    Raises:
        KeyError: it is no Sam with a ViT.
    """
    dim, _, patch, _ = state[f"{_ENCODER}patch_embed.proj.weight"].shape
    tokens = state[f"{_ENCODER}pos_embed"].shape[1]
    depth = _count(state, f"{_ENCODER}blocks.")
    relative = f"{_ENCODER}blocks.0.attn.rel_pos_h" in state
    return {
        "image_size": tokens * patch,
        "patch_size": patch,
        "encoder_dim": dim,
        "encoder_depth": depth,
        **_attention(state, dim, depth, tokens),
        "relative_positions": relative,
        "prompt_dim": state[f"{_ENCODER}neck.0.weight"].shape[0],
        "mask_channels": state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        "decoder_depth": _count(state, f"{_DECODER}transformer.layers."),
        "decoder_mlp_dim": state[f"{_DECODER}transformer.layers.0.mlp.lin1.weight"].shape[0],
        "iou_depth": _count(state, f"{_DECODER}iou_prediction_head.layers."),
        "iou_dim": state[f"{_DECODER}iou_prediction_head.layers.0.weight"].shape[0],
    }


def _attention(state: Mapping[str, Tensor], dim: int, depth: int, tokens: int) -> dict[str, Any]:
    """Heads and windows: a block has 2 s - 1 relative positions along a side of s tokens, each as wide as a head."""
    tables = [state[f"{_ENCODER}blocks.{block}.attn.rel_pos_h"] for block in range(depth)]
    sides = [(len(table) + 1) // 2 for table in tables]
    windows = {side for side in sides if side != tokens}
    if len(windows) > 1:
        raise ValueError(f"windows of several sizes {sorted(windows)}")
    return {
        "encoder_heads": dim // tables[0].shape[1],
        "window_size": max(windows, default=0),
        "global_attention": tuple(block for block, side in enumerate(sides) if side == tokens),
    }


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered modules there are behind a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})
