"""Small BLIP, CLIP and DPT models whose picture tower is convolutional; the classes around it are the official ones.

A folder whose configuration names ``conv_widths`` gets such a tower, any other folder its published ViT;
``conv_deep_blocks`` says how many residual blocks its narrow stages have, where that is not two.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lift3d_ray.models.conv_encoder import ConvEncoder
from lift3d_ray.models.files import read_config


class ConvVision(nn.Module):
    """A picture tower with the interface of transformers' vision models.

    Args:
        image_size: side of the square input, pixels.
        widths: channels of the stages of ``ConvEncoder``.
        hidden_size: channels of the tokens.
        reduction: side of the input over side of the tokens' grid.
        deep_blocks: residual blocks of the narrow stages.
    """

    def __init__(
        self, image_size: int, widths: tuple[int, ...], hidden_size: int, *, reduction: int, deep_blocks: int = 2
    ) -> None:
        super().__init__()
        self.encoder = ConvEncoder(image_size, widths, hidden_size, reduction=reduction, deep_blocks=deep_blocks)

    def forward(self, pixel_values: Tensor, **_: object) -> Any:
        """(B, 3, S, S) standardised pixels to tokens (B, T, D) and their mean (B, D)."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        tokens_BTD = self.encoder(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(last_hidden_state=tokens_BTD, pooler_output=tokens_BTD.mean(1))


class ConvLayers(ConvVision):
    """The same tower in the place of a DPT's transformer, all of whose layers answer alike.

    Args:
        layers: of the transformer that it stands in for.
        image_size, widths, hidden_size, reduction, deep_blocks: as of ``ConvVision``.
    """

    def __init__(
        self,
        layers: int,
        image_size: int,
        widths: tuple[int, ...],
        hidden_size: int,
        *,
        reduction: int,
        deep_blocks: int = 2,
    ) -> None:
        super().__init__(image_size, widths, hidden_size, reduction=reduction, deep_blocks=deep_blocks)
        self._layers = layers

    def forward(self, pixel_values: Tensor, **_: object) -> Any:
        """(B, 3, S, S) standardised pixels to tokens (B, 1 + T, D) of every layer; the first token is their mean."""
        from torch import cat
        from transformers.modeling_outputs import BaseModelOutput

        tokens_BTD = self.encoder(pixel_values).flatten(2).transpose(1, 2)
        tokens_BTD = cat([tokens_BTD.mean(1, keepdim=True), tokens_BTD], dim=1)
        return BaseModelOutput(last_hidden_state=tokens_BTD, hidden_states=(tokens_BTD,) * (1 + self._layers))


@cache
def with_conv_tower(model_class: Any) -> Any:
    """The class, with its ViT exchanged for a convolutional tower where the configuration names ``conv_widths``.

    Args:
        model_class: ``BlipForConditionalGeneration``, ``CLIPModel``, ``CLIPVisionModel`` or ``DPTForDepthEstimation``.
    """

    class Towered(model_class):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            vision = getattr(config, "vision_config", config)
            widths = tuple(getattr(vision, "conv_widths", ()))
            if not widths:
                return
            tower: dict[str, Any] = {
                "image_size": vision.image_size,
                "widths": widths,
                "hidden_size": vision.hidden_size,
                "deep_blocks": getattr(vision, "conv_deep_blocks", 2),
            }
            if hasattr(self, "vision_model"):
                self.vision_model = ConvVision(**tower, reduction=2 ** len(widths))
            elif hasattr(self, "post_layernorm"):
                # A tower by itself: there is nothing around it to keep.
                self._modules.clear()
                self.vision_model = ConvVision(**tower, reduction=2 ** len(widths))
                self.forward = self.vision_model.forward
            else:
                self.dpt = ConvLayers(vision.num_hidden_layers, **tower, reduction=vision.patch_size)

    Towered.__name__ = Towered.__qualname__ = model_class.__name__
    return Towered


def class_of_folder(model_class: Any, folder: Path) -> Any:
    """The class that a folder's configuration asks for: with the tower, or the official one as it is.

    transformers renames the parameters of old published files for its own classes only, so a ViT gets no subclass.
    """
    config = read_config(folder)
    vision = config.get("vision_config", config)
    return with_conv_tower(model_class) if vision.get("conv_widths") else model_class
