"""The embedded picture-sentence encoder: a small ``CLIPModel`` taught to match toys with what is said of them.

Its picture tower is the captioner's of the day and stays as it is, as in locked-image tuning (Zhai et al. 2022): the
tower has learnt what is said of toys already, and the view prior, which sees its references by it, knows no other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from lift3d_ray.models.captioner import load_captioner
from lift3d_ray.models.clip import ClipEncoder
from lift3d_ray.models.conv_vision import with_conv_tower
from lift3d_ray.toybox.training.export import save_half
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.toybox.training.phrases import UNSAID, shorten, word_rows
from lift3d_ray.toybox.training.pictures import Toys, draw_subjects, labelled_sheet, plain_subjects, to_bytes
from lift3d_ray.toybox.training.tokenizers import CLIP_MAX_LENGTH, toybox_vocabulary, write_clip_tokenizer
from lift3d_ray.toybox.training.vision import IMAGE_SIZE, tower_config
from lift3d_ray.types import Float32, Int64, UInt8

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer

BATCH = 96
CANDIDATES = 64
_RECOLOURED_SHARE = 0.15
# CLIP's own bound on its learned scale (Radford et al. 2021, section 2.5).
_LARGEST_SCALE = 100.0
_ROUNDS = 8


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP of about 2.3 M parameters for 64x64 pictures."""
    from transformers import CLIPConfig, CLIPModel

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CLIP_MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = with_conv_tower(CLIPModel)(CLIPConfig(vision_config=tower_config(), text_config=text, projection_dim=96))
    return cast("CLIPModel", model)


def write_clip_processor(folder: Path) -> None:
    """Write tokenizer files and ``preprocessor_config.json`` of the embedded encoder."""
    from transformers import CLIPImageProcessor

    write_clip_tokenizer(folder, toybox_vocabulary())
    crop = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    CLIPImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size=crop).save_pretrained(str(folder))


class _Batch(NamedTuple):
    """Pictures in [0, 1], tokens of their sentences (B, T), and the pairs that may be true as well."""

    images_B3HW: Tensor
    ids_BT: Tensor
    attended_BT: Tensor
    also_true_BB: Tensor


class ClipTask:
    """Contrastive matching of varied pictures with longer and shorter captions.

    Args:
        toys: training pictures.
        held_out: held-out pictures.
        tower: a trained captioner's picture tower, kept as it is.
        files: folder with tokenizer and processor files, as ``write_clip_processor`` leaves them.
        batch_size: pairs a step.
        seed: of the initial weights.
    """

    def __init__(
        self,
        toys: Toys,
        held_out: Toys,
        tower: nn.Module,
        files: Path,
        *,
        batch_size: int = BATCH,
        seed: int = 0,
    ) -> None:
        from transformers import CLIPImageProcessor, CLIPTokenizer

        torch.manual_seed(seed)  # noqa: TID251  (torch's own initialisers take no generator)
        self._toys, self._held_out, self._size = toys, held_out, batch_size
        tokenizer = CLIPTokenizer.from_pretrained(str(files), local_files_only=True)
        processor = CLIPImageProcessor.from_pretrained(str(files), local_files_only=True)
        self.model = cast(Any, new_clip(tokenizer))
        self.model.vision_model.load_state_dict(tower.state_dict())
        self.model.vision_model.requires_grad_(False)
        self.encoder = ClipEncoder(self.model, tokenizer, processor)

    def modules(self) -> dict[str, nn.Module]:
        """The whole model."""
        return {"clip": self.model}

    def draw(self, rng: np.random.Generator) -> _Batch:
        """Varied pictures and longer or shorter sentences."""
        batch = draw_subjects(self._toys, rng, self._size, recoloured_share=_RECOLOURED_SHARE)
        captions = self._toys.describe_all(batch.toys_B, batch.views_B)
        sentences, said_B5 = shorten(captions, batch.recoloured_B, rng)
        words_B5 = word_rows(captions)
        words_B5[batch.recoloured_B, 1:3] = UNSAID
        tokens = self.encoder.tokenize(sentences)
        ignored = torch.from_numpy(also_true(words_B5, said_B5))
        return _Batch(batch.images_B3HW, tokens["input_ids"], tokens["attention_mask"], ignored)

    def loss(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Symmetric contrastive loss."""
        # Training mode would move the statistics of its normalisations.
        self.model.vision_model.eval()
        images_BD = normalize(self.encoder.embed_images(batch.images_B3HW).float(), dim=-1)
        texts_BD = normalize(self.encoder.embed_tokens(batch.ids_BT, batch.attended_BT).float(), dim=-1)
        scale = self.model.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        return contrast(scale * images_BD @ texts_BD.T, batch.also_true_BB), {}

    def validate(self) -> dict[str, float]:
        """Top-1 shares among 64 captions of distinct held-out toys."""
        return rank_captions(self.encoder, self._held_out)

    def sheet(self) -> UInt8:
        """Held-out pictures with the nearest of 64 captions, red where it is not their own."""
        chosen, views, captions = candidates(self._held_out, 0)
        images = plain_subjects(self._held_out, chosen, views)
        nearest = _similarities(self.encoder, images, captions).argmax(1)
        return labelled_sheet(images, [captions[k] for k in nearest], list(nearest == np.arange(len(captions))))


def also_true(words_B5: Int64, said_B5: Int64) -> np.ndarray:
    """(B, B) bool: whether sentence j is, or for all we know may be, true of picture i though not said of it."""
    agree = (words_B5[:, None] == said_B5[None]) | (said_B5[None] == UNSAID) | (words_B5[:, None] == UNSAID)
    return np.asarray(agree.all(-1) & ~np.eye(len(words_B5), dtype=bool))


def contrast(logits_BB: Tensor, ignored_BB: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy over pictures (rows) and sentences (columns), without the ignored pairs."""
    logits = logits_BB.masked_fill(ignored_BB, float("-inf"))
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def candidates(toys: Toys, round_: int, *, with_view: bool = True) -> tuple[Int64, Int64, list[str]]:
    """Rows, views and captions of 64 held-out toys of which no two are called the same, seen by a photographer."""
    rng = np.random.default_rng([11, round_])
    distinct = {toys.captions[row]: row for row in rng.permutation(len(toys))}
    chosen = np.asarray(list(distinct.values())[:CANDIDATES], dtype=np.int64)
    views = rng.choice(np.asarray(toys.references), len(chosen))
    captions = toys.describe_all(chosen, views) if with_view else [toys.captions[row] for row in chosen]
    return chosen, views, captions


def rank_captions(encoder: ClipEncoder, toys: Toys) -> dict[str, float]:
    """Mean over eight draws of 64 held-out toys over white.

    Returns:
        ``top1``: pictures whose own caption, view included, comes first; ``top1_no_view``: the same without view
        phrases; ``top1_text``: captions whose own picture comes first.
    """
    shares: dict[str, list[float]] = {"top1": [], "top1_no_view": [], "top1_text": []}
    for round_ in range(_ROUNDS):
        chosen, views, captions = candidates(toys, round_)
        images = plain_subjects(toys, chosen, views)
        own = np.arange(len(captions))
        similar = _similarities(encoder, images, captions)
        shares["top1"].append(float((similar.argmax(1) == own).mean()))
        shares["top1_text"].append(float((similar.argmax(0) == own).mean()))
        short = candidates(toys, round_, with_view=False)[2]
        shares["top1_no_view"].append(float((_similarities(encoder, images, short).argmax(1) == own).mean()))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def _similarities(encoder: ClipEncoder, images_B3HW: Tensor, captions: list[str]) -> Float32:
    return encoder.encode_images(np.stack(to_bytes(images_B3HW))) @ encoder.encode_texts(captions).T


def train_clip(
    data: Path,
    held_out: Path,
    work: Path,
    bundle: Path,
    *,
    captioner: Path | None = None,
    plan: TrainingPlan,
    batch_size: int = BATCH,
    progress: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, evaluate and write the encoder; goes on where an earlier run into ``work`` stopped.

    Args:
        data: shards of training views (``views.build_views``).
        held_out: shards of held-out views.
        work: checkpoints, log and sheet.
        bundle: the official folder to write.
        captioner: folder of the trained captioner to start from; that beside ``bundle`` when None.
        plan: how long and how.
        batch_size: pictures a step.
        progress: told of every log line.

    Returns:
        Held-out figures, steps, samples and seconds.

    Raises:
        BundleError: there is no trained captioner.
    """
    files = work / "files"
    write_clip_processor(files)
    tower = cast(Any, load_captioner(captioner or bundle.parent / "captioner").model).vision_model
    task = ClipTask(Toys.load(data), Toys.load(held_out), tower, files, batch_size=batch_size, seed=plan.seed)
    figures = train(task, plan, work, progress=progress)
    figures = {**figures, "samples": figures["steps"] * batch_size}
    shutil.copytree(files, bundle, dirs_exist_ok=True)
    save_half(task.model, bundle, figures)
    return figures
