"""Pictures in words: the adapter over ``transformers.BlipForConditionalGeneration`` (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lift3d_ray.models.conv_vision import with_conv_tower
from lift3d_ray.models.files import load_pretrained
from lift3d_ray.models.processors import load_image_processor, load_tokenizer
from lift3d_ray.types import UInt8

if TYPE_CHECKING:
    from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor

TOKENIZER_FILES = ("vocab.txt",)
# What is said of a picture when the decoder ends before its first word; a prompt must not be empty.
NOTHING_SAID = "an object"
_IMAGES_A_PASS = 32


class BlipCaptioner:
    """Captions by beam search: the same picture always gets the same words.

    Args:
        model: the official model, in evaluation mode.
        tokenizer: its tokenizer.
        processor: its image processor.
        beams: width of the beam search; 1 = greedy.
        max_new_tokens: longest caption, in tokens; bounded by the decoder's positions.
    """

    def __init__(
        self,
        model: BlipForConditionalGeneration,
        tokenizer: BertTokenizer,
        processor: BlipImageProcessor,
        *,
        beams: int = 3,
        max_new_tokens: int = 30,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.processor = processor
        self.beams = beams
        config: Any = model.config
        self.max_new_tokens = min(max_new_tokens, int(config.text_config.max_position_embeddings) - 1)

    def caption(self, rgb_HWC: UInt8) -> str:
        """One lower-case sentence without a full stop for a (H, W, 3) uint8 picture."""
        return self.captions([rgb_HWC])[0]

    def captions(self, images_HWC: Sequence[UInt8]) -> list[str]:
        """A caption for each (H, W, 3) uint8 picture; sizes may differ."""
        for rgb_HWC in images_HWC:
            if rgb_HWC.ndim != 3 or rgb_HWC.shape[-1] != 3 or rgb_HWC.dtype != np.uint8:
                raise ValueError(f"wanted a (H, W, 3) uint8 picture, got {rgb_HWC.shape} {rgb_HWC.dtype}")
        said: list[str] = []
        for start in range(0, len(images_HWC), _IMAGES_A_PASS):
            said += self._captions(images_HWC[start : start + _IMAGES_A_PASS])
        return said

    def _captions(self, images_HWC: Sequence[UInt8]) -> list[str]:
        inputs = self.processor(images=list(images_HWC), input_data_format="channels_last", return_tensors="pt")
        pixels_B3HW = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        tokens = self.model.generate(
            pixels_B3HW, num_beams=self.beams, do_sample=False, max_new_tokens=self.max_new_tokens
        )
        return [tidy(text) for text in self.tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def tidy(text: str) -> str:
    """Lower case, single spaces, no space before a comma, no full stop; never empty."""
    words = " ".join(text.lower().split()).replace(" ,", ",")
    return words.rstrip(" .,") or NOTHING_SAID


def load_captioner(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> BlipCaptioner:
    """Load BLIP from its official folder: weights, ``preprocessor_config.json`` and tokenizer files.

    Args:
        folder: as published, or as written by the toybox training.
        device: torch device.
        dtype: precision of the weights in memory.

    Raises:
        BundleError: files missing, damaged or of another model.
    """
    from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor

    model = load_pretrained(with_conv_tower(BlipForConditionalGeneration), folder)
    vocab_size = int(model.config.text_config.vocab_size)
    tokenizer = load_tokenizer(BertTokenizer, folder, files=TOKENIZER_FILES, vocab_size=vocab_size)
    processor = load_image_processor(BlipImageProcessor, folder)
    model = model.to(device=device, dtype=dtype)
    return BlipCaptioner(model, tokenizer, processor)
