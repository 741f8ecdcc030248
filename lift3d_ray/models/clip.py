"""Pictures and sentences in one space: the adapter over ``transformers.CLIPModel`` (Radford et al. 2021).

Two doors: ``encode_images`` / ``encode_texts`` take values and meet the ``ImageTextEncoder`` role; ``embed_images`` /
``embed_texts`` take and give tensors, for losses that need the gradient with respect to the picture.

Shape suffixes: B pictures or sentences, H W pixels, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lift3d_ray.models.conv_vision import class_of_folder
from lift3d_ray.models.files import load_pretrained
from lift3d_ray.models.processors import load_image_processor, load_tokenizer, normalize_pixels
from lift3d_ray.types import Float32, UInt8

if TYPE_CHECKING:
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

TOKENIZER_FILES = ("vocab.json", "merges.txt")
_IMAGES_A_PASS = 64
_TEXTS_A_PASS = 256


class ClipEncoder:
    """Unit vectors of pictures and sentences.

    Args:
        model: the official model, in evaluation mode.
        tokenizer: its tokenizer.
        processor: its image processor.
    """

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer, processor: CLIPImageProcessor) -> None:
        self.model = model
        config: Any = model.config
        self.tokenizer = tokenizer
        self.processor = processor
        self.image_size = int(config.vision_config.image_size)
        self._max_tokens = int(config.text_config.max_position_embeddings)

    @property
    def dimension(self) -> int:
        """Length D of an embedding."""
        config: Any = self.model.config
        return int(config.projection_dim)

    def encode_images(self, images_BHWC: UInt8) -> Float32:
        """(B, D) float32 unit vectors of (B, H, W, 3) uint8 pictures, resized and cropped as the processor says."""
        if images_BHWC.ndim != 4 or images_BHWC.shape[-1] != 3 or images_BHWC.dtype != np.uint8:
            raise ValueError(f"wanted (B, H, W, 3) uint8 pictures, got {images_BHWC.shape} {images_BHWC.dtype}")
        parts = []
        for start in range(0, len(images_BHWC), _IMAGES_A_PASS):
            images = list(images_BHWC[start : start + _IMAGES_A_PASS])
            inputs = self.processor(images=images, input_data_format="channels_last", return_tensors="pt")
            with torch.no_grad():
                parts.append(self._image_vectors(inputs["pixel_values"]))
        return self._to_numpy(parts)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """(B, D) float32 unit vectors of B sentences; what exceeds the model's length is cut off."""
        if isinstance(texts, str):
            raise ValueError(f"wanted a sequence of sentences, got the single string {texts!r}: wrap it in a list")
        parts = []
        for start in range(0, len(texts), _TEXTS_A_PASS):
            with torch.no_grad():
                parts.append(self.embed_texts(texts[start : start + _TEXTS_A_PASS]))
        return self._to_numpy(parts)

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """Unit vectors of pictures, differentiable with respect to them.

        The whole picture is resized to the model's square (antialiased bicubic), without a crop, as for CLIP losses.

        Args:
            images_B3HW: (B, 3, H, W) float in [0, 1].

        Returns:
            (B, D) in the model's precision, on its device.
        """
        size = (self.image_size, self.image_size)
        if tuple(images_B3HW.shape[-2:]) != size:
            images_B3HW = interpolate(images_B3HW, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        return self._image_vectors(self.normalize_pixels(images_B3HW))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) unit vectors of B sentences, in the model's precision, on its device."""
        tokens = self.tokenize(texts).to(self.model.device)
        return self.embed_tokens(tokens["input_ids"], tokens["attention_mask"])

    def tokenize(self, texts: Sequence[str]) -> Any:
        """``input_ids`` and ``attention_mask``, (B, T) on the CPU, of B sentences."""
        return self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        )

    def embed_tokens(self, ids_BT: Tensor, attended_BT: Tensor) -> Tensor:
        """(B, D) unit vectors of tokenised sentences."""
        pooled = self.model.text_model(input_ids=ids_BT, attention_mask=attended_BT).pooler_output
        return normalize(self.model.text_projection(pooled), dim=-1)

    def normalize_pixels(self, images_B3HW: Tensor) -> Tensor:
        """Pictures in [0, 1] with the processor's mean and deviation taken out."""
        return normalize_pixels(images_B3HW, self.processor)

    def _image_vectors(self, pixels_B3HW: Tensor) -> Tensor:
        pooled = self.model.vision_model(pixel_values=pixels_B3HW.to(self.model.device, self.model.dtype)).pooler_output
        return normalize(self.model.visual_projection(pooled), dim=-1)

    def _to_numpy(self, parts: list[Tensor]) -> Float32:
        if not parts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        vectors = normalize(torch.cat(parts).float(), dim=-1)
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)


def load_clip(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> ClipEncoder:
    """Load CLIP from its official folder: weights, ``preprocessor_config.json`` and tokenizer files.

    Args:
        folder: as published, or as written by the toybox training.
        device: torch device.
        dtype: precision of the weights in memory.

    Raises:
        BundleError: files missing, damaged or of another model.
    """
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    model = load_pretrained(class_of_folder(CLIPModel, folder), folder)
    vocab_size = int(model.config.text_config.vocab_size)
    tokenizer = load_tokenizer(CLIPTokenizer, folder, files=TOKENIZER_FILES, vocab_size=vocab_size)
    processor = load_image_processor(CLIPImageProcessor, folder)
    model = model.to(device=device, dtype=dtype)
    return ClipEncoder(model, tokenizer, processor)
