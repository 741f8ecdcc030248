"""The embedded captioner: a small ``BlipForConditionalGeneration`` taught to name toys, colours, patterns and views.

Captions end in a view phrase (", front view"), which the lift reads to know how the photo looks at its subject.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lift3d_ray.models.captioner import BlipCaptioner
from lift3d_ray.toybox.training.export import save_half
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.toybox.training.phrases import score_captions, word_rows
from lift3d_ray.toybox.training.pictures import (
    Toys,
    draw_subjects,
    labelled_sheet,
    normalize_pixels,
    plain_subjects,
    to_bytes,
)
from lift3d_ray.toybox.training.tokenizers import BERT_MAX_LENGTH, BLIP_DECODE, toybox_vocabulary, write_bert_tokenizer
from lift3d_ray.toybox.training.vision import AttributeHeads, read_low_frequencies, sine_positions
from lift3d_ray.types import Int64, UInt8

if TYPE_CHECKING:
    from transformers import BertTokenizer, BlipForConditionalGeneration

IMAGE_SIZE = 64
BATCH = 48
PLAN = TrainingPlan(steps=3000, learning_rate=1e-3, warmup_steps=150, weight_decay=0.05, ema_decay=0.995, bf16=False)
_WHITE_SHARE = 0.85
_HEADS_WEIGHT = 0.3
_EVALUATED = 768


def new_captioner(tokenizer: BertTokenizer) -> BlipForConditionalGeneration:
    """An untrained BLIP of about 1.7 M parameters for 64x64 pictures."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    vision = {
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "initializer_range": 0.02,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "encoder_hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": BERT_MAX_LENGTH,
        "bos_token_id": tokenizer.convert_tokens_to_ids(BLIP_DECODE),
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return BlipForConditionalGeneration(BlipConfig(vision_config=vision, text_config=text))


def write_captioner_processor(folder: Path) -> None:
    """Write tokenizer files and ``preprocessor_config.json`` of the embedded captioner."""
    from transformers import BlipImageProcessor

    write_bert_tokenizer(folder, toybox_vocabulary())
    BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(str(folder))


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
        width = self.model.config.vision_config.hidden_size
        self.heads = AttributeHeads(width)
        embeddings = self.model.vision_model.embeddings
        examples = draw_subjects(toys, np.random.default_rng([seed, 1]), 256, white_share=_WHITE_SHARE).images_B3HW
        read_low_frequencies(embeddings.patch_embedding, normalize_pixels(examples, processor))
        side = IMAGE_SIZE // embeddings.patch_size
        embeddings.position_embedding.data[0, 1:] = sine_positions(side, width)

    def modules(self) -> dict[str, nn.Module]:
        """The whole model, and the side tasks that are not kept."""
        return {"captioner": self.model, "heads": self.heads}

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the captions' tokens, plus the side tasks."""
        batch = draw_subjects(self._toys, rng, self._size, white_share=_WHITE_SHARE)
        captions = self._toys.describe_all(batch.toys_B, batch.views_B)
        tokens = self.captioner.tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        ids = tokens["input_ids"].clone()
        ids[:, 0] = self.model.config.text_config.bos_token_id
        output = self.model(
            pixel_values=normalize_pixels(batch.images_B3HW, self.captioner.processor),
            input_ids=ids,
            attention_mask=tokens["attention_mask"],
            labels=ids.masked_fill(tokens["attention_mask"] == 0, -100),
        )
        side = self.heads(output.last_hidden_state[:, 1:], torch.from_numpy(word_rows(captions)))
        return output.loss + _HEADS_WEIGHT * side, {"words": float(output.loss.detach()), "side": float(side.detach())}

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


def evaluation_pictures(toys: Toys, *, photographic: bool) -> tuple[Int64, Int64]:
    """Rows and views of up to 768 fixed pictures, spread over the toys."""
    rng = np.random.default_rng([7, int(photographic)])
    count = min(_EVALUATED, 2 * len(toys))
    chosen = np.arange(count, dtype=np.int64) % len(toys)
    permitted = toys.references if photographic else range(toys.views_a_toy)
    views = rng.choice(np.asarray(permitted), count)
    return chosen, views


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
    plan: TrainingPlan = PLAN,
    progress: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, evaluate and write the captioner; goes on where an earlier run into ``work`` stopped.

    Args:
        data: shards of training views (``views.build_views``).
        held_out: shards of held-out views.
        work: checkpoints, log and sheet.
        bundle: the official folder to write.
        plan: how long and how.
        progress: told of every log line.

    Returns:
        Held-out figures, steps, samples and seconds.
    """
    files = work / "files"
    write_captioner_processor(files)
    task = CaptionerTask(Toys.load(data), Toys.load(held_out), files, seed=plan.seed)
    figures = train(task, plan, work, progress=progress)
    figures = {**figures, "samples": figures["steps"] * BATCH}
    shutil.copytree(files, bundle, dirs_exist_ok=True)
    save_half(task.model, bundle, figures)
    return figures
