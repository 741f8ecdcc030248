"""What a picture shows, as tokens: the encoder that conditions a view-conditioned prior (after Zero-1-to-3).

Zero-1-to-3 (Liu et al. 2023) tells its UNet what the subject is by CLIP's embedding of the picture. Here it is an
official ``CLIPVisionModel``, from a folder of its own or a whole CLIP's; the embedded one is the role ``clip``'s.

Shape suffixes: B pictures, T tokens, D their width.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from lift3d_ray.models.conv_vision import class_of_folder
from lift3d_ray.models.files import load_pretrained
from lift3d_ray.models.processors import load_image_processor, normalize_pixels
from lift3d_ray.models.small_network import at_side, one_picture
from lift3d_ray.types import Float32, UInt8

if TYPE_CHECKING:
    from transformers import CLIPImageProcessor, CLIPVisionModel


OTHER_HALF = (r"^text_model\.", r"^text_projection\.", r"^visual_projection\.", r"^logit_scale$")
"""What a whole ``CLIPModel``'s folder holds besides: parameters that are no fault."""


class ImageEncoder:
    """Pictures to tokens.

    Args:
        model: the official model, in evaluation mode.
        processor: its image processor.
    """

    def __init__(self, model: CLIPVisionModel, processor: CLIPImageProcessor) -> None:
        self.model = model
        self.processor = processor
        config: Any = model.config
        self.image_size = int(config.image_size)

    def tokens(self, rgb_HWC: UInt8) -> Float32:
        """(T, D) float32 tokens of a square (S, S, 3) uint8 picture, as of ``embed``."""
        picture = one_picture(rgb_HWC)
        with torch.no_grad():
            tokens_BTD = self.embed(picture.to(self.model.device, self.model.dtype))
        return np.asarray(tokens_BTD[0].float().cpu().numpy(), dtype=np.float32)

    def embed(self, images_B3HW: Tensor) -> Tensor:
        """Tokens of the picture's places, each with mean 0 and deviation 1.

        Args:
            images_B3HW: (B, 3, H, W) float in [0, 1], square.

        Returns:
            (B, T, D).
        """
        pixels_B3HW = normalize_pixels(at_side(images_B3HW, self.image_size), self.processor)
        tokens_BTD: Tensor = self.model(pixel_values=pixels_B3HW).last_hidden_state
        return layer_norm(tokens_BTD, tokens_BTD.shape[-1:])


def load_image_encoder(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> ImageEncoder:
    """Load a ``CLIPVisionModel`` from its official folder, or from a ``CLIPModel``'s.

    Args:
        folder: ``config.json``, weights, ``preprocessor_config.json``.
        device: torch device.
        dtype: precision of weights and passes.

    Raises:
        BundleError: files missing, damaged or of another model.
    """
    from transformers import CLIPImageProcessor, CLIPVisionModel

    model = load_pretrained(picture_half(class_of_folder(CLIPVisionModel, folder)), folder)
    processor = load_image_processor(CLIPImageProcessor, folder)
    return ImageEncoder(model.to(device=device, dtype=dtype), processor)


@cache
def picture_half(model_class: Any) -> Any:
    """The class, content with a folder that holds a whole CLIP."""

    class Half(model_class):  # type: ignore[misc]
        _keys_to_ignore_on_load_unexpected = OTHER_HALF

    # By its name and its module transformers tells whose parameters it may rename.
    Half.__name__ = Half.__qualname__ = model_class.__name__
    Half.__module__ = model_class.__module__
    return Half
