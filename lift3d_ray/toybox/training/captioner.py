"""The embedded captioner: a small ``BlipForConditionalGeneration`` taught to name toys, colours, patterns and views.

Captions end in a view phrase (", front view"), which the lift reads to know how the photo looks at its subject.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.captioner import BlipCaptioner
from lift3d_ray.models.conv_vision import with_conv_tower
from lift3d_ray.models.processors import normalize_pixels
from lift3d_ray.toybox.palette import COLOURS
from lift3d_ray.toybox.training.export import save_half
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.toybox.training.phrases import UNSAID, recolour, score_captions, word_rows
from lift3d_ray.toybox.training.pictures import (
    Toys,
    draw_subjects,
    evaluation_pictures,
    labelled_sheet,
    plain_subjects,
    to_bytes,
)
from lift3d_ray.toybox.training.tokenizers import BERT_MAX_LENGTH, BLIP_DECODE, toybox_vocabulary, write_bert_tokenizer
from lift3d_ray.toybox.training.vision import IMAGE_SIZE, TOKEN_WIDTH, AttributeHeads, tower_config
from lift3d_ray.types import Bool, UInt8

if TYPE_CHECKING:
    from transformers import BertTokenizer, BlipForConditionalGeneration

BATCH = 64
_WHITE_SHARE, _RECOLOURED_SHARE = 0.8, 0.3
_HEADS_WEIGHT = 0.3


def new_captioner(tokenizer: BertTokenizer) -> BlipForConditionalGeneration:
    """An untrained BLIP of about 2 M parameters for 64x64 pictures."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "encoder_hidden_size": TOKEN_WIDTH,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": BERT_MAX_LENGTH,
        "bos_token_id": tokenizer.convert_tokens_to_ids(BLIP_DECODE),
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = with_conv_tower(BlipForConditionalGeneration)(BlipConfig(vision_config=tower_config(), text_config=text))
    return cast("BlipForConditionalGeneration", model)


def write_captioner_processor(folder: Path) -> None:
    """Write tokenizer files and ``preprocessor_config.json`` of the embedded captioner."""
    from transformers import BlipImageProcessor

    write_bert_tokenizer(folder, toybox_vocabulary())
    BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(str(folder))


class _Batch(NamedTuple):
    """Normalised pictures, the tokens told and asked of them (B, T), and the side tasks' words."""

    pixels_B3HW: Tensor
    ids_BT: Tensor
    attended_BT: Tensor
    labels_BT: Tensor
    words_B5: Tensor


class CaptionerTask:
    """Teacher-forced captions of varied pictures, with side tasks that teach the picture encoder faster.

    Args:
        toys: training pictures.
        held_out: held-out pictures.
        files: folder with tokenizer and processor files, as ``write_captioner_processor`` leaves them.
        batch_size: pictures a step.
        seed: of the initial weights.
    """

    def __init__(self, toys: Toys, held_out: Toys, files: Path, *, batch_size: int = BATCH, seed: int = 0) -> None:
        from transformers import BertTokenizer, BlipImageProcessor

        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._toys, self._held_out, self._size = toys, held_out, batch_size
        tokenizer = BertTokenizer.from_pretrained(str(files), local_files_only=True)
        processor = BlipImageProcessor.from_pretrained(str(files), local_files_only=True)
        self.model = cast(Any, new_captioner(tokenizer))
        self.captioner = BlipCaptioner(self.model, tokenizer, processor)
        self.heads = AttributeHeads(self.model.config.vision_config.hidden_size)
        self._colour_ids = torch.tensor(tokenizer.convert_tokens_to_ids(["a", "an", *COLOURS]))

    def modules(self) -> dict[str, nn.Module]:
        """The whole model, and the side tasks that are not kept."""
        return {"captioner": self.model, "heads": self.heads}

    def draw(self, rng: np.random.Generator) -> _Batch:
        """Varied pictures and what is said of them."""
        batch = draw_subjects(
            self._toys, rng, self._size, white_share=_WHITE_SHARE, recoloured_share=_RECOLOURED_SHARE
        )
        captions = self._toys.describe_all(batch.toys_B, batch.views_B)
        pixels = normalize_pixels(batch.images_B3HW, self.captioner.processor)
        rows_B5 = word_rows(captions)
        rows_B5[batch.recoloured_B, 1:3] = UNSAID
        return _Batch(pixels, *self._tokens(captions, batch.recoloured_B, rng), torch.from_numpy(rows_B5))

    def loss(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy of the captions' next tokens, plus the side tasks."""
        tokens_BTD = self.model.vision_model(pixel_values=batch.pixels_B3HW).last_hidden_state
        words = self.model.text_decoder(
            input_ids=batch.ids_BT,
            attention_mask=batch.attended_BT,
            encoder_hidden_states=tokens_BTD,
            labels=batch.labels_BT,
            use_cache=False,
        ).loss
        side = self.heads(tokens_BTD, batch.words_B5)
        return words + _HEADS_WEIGHT * side, {"words": words.detach(), "side": side.detach()}

    def _tokens(
        self, captions: list[str], recoloured_B: Bool, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, which of them are words, and labels; colours no longer true are neither told nor asked."""
        told = [recolour(text, rng) if changed else text for text, changed in zip(captions, recoloured_B, strict=True)]
        tokens = self.captioner.tokenizer(told, padding=True, truncation=True, return_tensors="pt")
        ids, attended = tokens["input_ids"].clone(), tokens["attention_mask"]
        ids[:, 0] = self.model.config.text_config.bos_token_id
        unasked = torch.isin(ids, self._colour_ids) & torch.from_numpy(recoloured_B)[:, None]
        return ids, attended, ids.masked_fill((attended == 0) | unasked, -100)

    def validate(self) -> dict[str, float]:
        """Shares of right captions on held-out toys over white, from photographers' views and from all."""
        photo = score_captions(*said_and_true(self.captioner, self._held_out, photographic=True))
        every = score_captions(*said_and_true(self.captioner, self._held_out, photographic=False))
        return {**photo, **{f"{name}_all_views": value for name, value in every.items()}}

    def sheet(self) -> UInt8:
        """Held-out pictures with what is said of them, red where it is not the true caption."""
        chosen, views = (rows[:48] for rows in evaluation_pictures(self._held_out, photographic=True))
        images = plain_subjects(self._held_out, chosen, views)
        said = self.captioner.captions(to_bytes(images))
        true = self._held_out.describe_all(chosen, views)
        return labelled_sheet(images, said, [a == b for a, b in zip(said, true, strict=True)])


def said_and_true(captioner: BlipCaptioner, toys: Toys, *, photographic: bool) -> tuple[list[str], list[str]]:
    """Captions said of the evaluation pictures over white, and the true ones."""
    chosen, views = evaluation_pictures(toys, photographic=photographic)
    said = captioner.captions(to_bytes(plain_subjects(toys, chosen, views)))
    return said, toys.describe_all(chosen, views)


def train_captioner(
    data: Path,
    held_out: Path,
    work: Path,
    bundle: Path,
    *,
    plan: TrainingPlan,
    batch_size: int = BATCH,
    progress: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, evaluate and write the captioner; goes on where an earlier run into ``work`` stopped.

    Args:
        data: shards of training views (``views.build_views``).
        held_out: shards of held-out views.
        work: checkpoints, log and sheet.
        bundle: the official folder to write.
        plan: how long and how.
        batch_size: pictures a step.
        progress: told of every log line.

    Returns:
        Held-out figures, steps, samples and seconds.
    """
    files = work / "files"
    write_captioner_processor(files)
    task = CaptionerTask(Toys.load(data), Toys.load(held_out), files, batch_size=batch_size, seed=plan.seed)
    figures = train(task, plan, work, progress=progress)
    figures = {**figures, "samples": figures["steps"] * batch_size}
    shutil.copytree(files, bundle, dirs_exist_ok=True)
    save_half(task.model, bundle, figures)
    return figures
