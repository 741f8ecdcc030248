"""Pictures in words: the adapter over ``transformers.BlipForConditionalGeneration`` (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lift3d_ray.models.conv_vision import class_of_folder
from lift3d_ray.models.files import load_pretrained, read_config
from lift3d_ray.models.nucleus import nucleus_draws
from lift3d_ray.models.processors import load_image_processor, load_tokenizer
from lift3d_ray.types import UInt8

if TYPE_CHECKING:
    from transformers import (
        BertTokenizer,
        Blip2ForConditionalGeneration,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        GPT2Tokenizer,
    )

TOKENIZER_FILES = ("vocab.txt",)
# What is said of a picture when the decoder ends before its first word; a prompt must not be empty.
NOTHING_SAID = "an object"
_IMAGES_A_PASS = 32


class BlipCaptioner:
    """Captions by beam search: the same picture always gets the same words. More of them by nucleus sampling.

    Args:
        model: the official model, BLIP or BLIP-2, in evaluation mode.
        tokenizer: its tokenizer.
        processor: its image processor.
        beams: width of the beam search; 1 = greedy.
        max_new_tokens: longest caption, in tokens; bounded by the decoder's positions.
    """

    def __init__(
        self,
        model: BlipForConditionalGeneration | Blip2ForConditionalGeneration,
        tokenizer: BertTokenizer | GPT2Tokenizer,
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
            check_picture(rgb_HWC)
        said: list[str] = []
        for start in range(0, len(images_HWC), _IMAGES_A_PASS):
            said += self._captions(images_HWC[start : start + _IMAGES_A_PASS])
        return said

    def sample_captions(self, rgb_HWC: UInt8, count: int, *, nucleus: float, seed: int) -> list[str]:
        """See ``Captioner``."""
        check_picture(rgb_HWC)
        return self._generated([rgb_HWC] * count, num_beams=1, logits_processor=nucleus_draws(nucleus, seed))

    def _captions(self, images_HWC: Sequence[UInt8]) -> list[str]:
        return self._generated(images_HWC, num_beams=self.beams)

    def _generated(self, images_HWC: Sequence[UInt8], **options: Any) -> list[str]:
        if not images_HWC:
            return []
        inputs = self.processor(images=list(images_HWC), input_data_format="channels_last", return_tensors="pt")
        pixels_B3HW = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        tokens = self.model.generate(pixels_B3HW, do_sample=False, max_new_tokens=self.max_new_tokens, **options)
        return [tidy(text) for text in self._words(tokens)]

    def _words(self, tokens_BL: Any) -> list[str]:
        said: list[str] = self.tokenizer.batch_decode(tokens_BL, skip_special_tokens=True)
        return said


def check_picture(rgb_HWC: UInt8) -> None:
    """Raise ``ValueError`` unless it is a (H, W, 3) uint8 picture."""
    if rgb_HWC.ndim != 3 or rgb_HWC.shape[-1] != 3 or rgb_HWC.dtype != np.uint8:
        raise ValueError(f"wanted a (H, W, 3) uint8 picture, got {rgb_HWC.shape} {rgb_HWC.dtype}")


def tidy(text: str) -> str:
    """Lower case, single spaces, no space before a comma, no full stop; never empty."""
    words = " ".join(text.lower().split()).replace(" ,", ",")
    return words.rstrip(" .,") or NOTHING_SAID


def load_captioner(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> BlipCaptioner:
    """Load BLIP or BLIP-2 from its official folder: weights, ``preprocessor_config.json`` and tokenizer files.

    Args:
        folder: as published, or as written by the toybox training; its ``model_type`` says which of the two it is.
        device: torch device.
        dtype: precision of the weights in memory.

    Raises:
        BundleError: files missing, damaged or of another model.
    """
    from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor

    if read_config(folder).get("model_type") == "blip-2":
        from lift3d_ray.models.captioner_blip2 import load_blip2

        return load_blip2(folder, device, dtype)
    model = load_pretrained(class_of_folder(BlipForConditionalGeneration, folder), folder)
    vocab_size = int(model.config.text_config.vocab_size)
    tokenizer = load_tokenizer(BertTokenizer, folder, files=TOKENIZER_FILES, vocab_size=vocab_size)
    processor = load_image_processor(BlipImageProcessor, folder)
    model = model.to(device=device, dtype=dtype)
    return BlipCaptioner(model, tokenizer, processor)
