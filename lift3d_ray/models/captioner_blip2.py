"""Pictures in words: the adapter over ``transformers.Blip2ForConditionalGeneration`` (Li et al. 2023), with OPT.

Make-It-3D's captioner (``blip2-opt-2.7b``). A querying transformer turns the picture into a few tokens that stand
before
the language model's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lift3d_ray.errors import BundleError
from lift3d_ray.models.captioner import BlipCaptioner
from lift3d_ray.models.files import load_pretrained, read_config
from lift3d_ray.models.processors import load_image_processor, load_tokenizer

TOKENIZER_FILES = ("vocab.json", "merges.txt")
LONGEST = 30


class Blip2Captioner(BlipCaptioner):
    """As ``BlipCaptioner``, over BLIP-2; what stands before the caption is never part of it."""

    def _words(self, tokens_BL: Any) -> list[str]:
        # Where generation starts from token ids, they are returned with the answer: one a query, and the opening one.
        config: Any = self.model.config
        image = int(config.image_token_id)
        said = [[int(token) for token in row if int(token) != image] for row in tokens_BL]
        return super()._words(said)


def load_blip2(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Blip2Captioner:
    """Load BLIP-2 from its official folder: weights, ``preprocessor_config.json`` and tokenizer files.

    Args:
        folder: as published, with OPT for its language model.
        device: torch device.
        dtype: precision of the weights in memory.

    Raises:
        BundleError: files missing, damaged or of another model.
    """
    from transformers import Blip2ForConditionalGeneration, BlipImageProcessor, GPT2Tokenizer

    config = read_config(folder)
    speaker = config.get("text_config", {}).get("model_type")
    if speaker != "opt":
        raise BundleError(f"{folder / 'config.json'} names {speaker!r} for BLIP-2's language model, wanted 'opt'")
    if config.get("image_token_index") is None and config.get("image_token_id") is None:
        raise BundleError(
            f"{folder / 'config.json'} has no image_token_index: it was saved by an old transformers; fetch it again"
        )
    model = load_pretrained(Blip2ForConditionalGeneration, folder)
    vocab_size = int(model.config.text_config.vocab_size)
    tokenizer = load_tokenizer(GPT2Tokenizer, folder, files=TOKENIZER_FILES, vocab_size=vocab_size)
    processor = load_image_processor(BlipImageProcessor, folder)
    # The picture's tokens and the opening one take places too.
    places = int(model.config.text_config.max_position_embeddings) - int(model.config.num_query_tokens) - 1
    return Blip2Captioner(
        model.to(device=device, dtype=dtype), tokenizer, processor, max_new_tokens=min(LONGEST, places)
    )
