"""Small BLIP and CLIP models whose picture tower is convolutional; the classes around it are the official ones.

A folder whose ``vision_config`` names ``conv_widths`` gets such a tower, any other folder its published ViT.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn

from lift3d_ray.models.conv_encoder import ConvEncoder


class ConvVision(nn.Module):
    """A picture tower with the interface of transformers' vision models.

    Args:
        image_size: side of the square input, pixels.
        widths: channels of the stages of ``ConvEncoder``; the coarsest is the tokens' grid.
        hidden_size: channels of the tokens.
    """

    def __init__(self, image_size: int, widths: tuple[int, ...], hidden_size: int) -> None:
        super().__init__()
        self.encoder = ConvEncoder(image_size, widths, hidden_size, reduction=2 ** len(widths))

    def forward(self, pixel_values: Tensor, **_: object) -> Any:
        """(B, 3, S, S) standardised pixels to tokens (B, T, D) and their mean (B, D)."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        tokens_BTD = self.encoder(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(last_hidden_state=tokens_BTD, pooler_output=tokens_BTD.mean(1))


@cache
def with_conv_tower(model_class: Any) -> Any:
    """The class, with its ``vision_model`` exchanged where the configuration names ``conv_widths``.

    Args:
        model_class: ``BlipForConditionalGeneration`` or ``CLIPModel``.
    """

    class Towered(model_class):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            vision = config.vision_config
            widths = getattr(vision, "conv_widths", None)
            if widths:
                self.vision_model = ConvVision(vision.image_size, tuple(widths), vision.hidden_size)

    Towered.__name__ = Towered.__qualname__ = model_class.__name__
    return Towered
