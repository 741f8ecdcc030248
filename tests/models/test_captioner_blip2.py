"""The BLIP-2 adapter over the official class and folder layout, with small random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from lift3d_ray.errors import BundleError
from lift3d_ray.models.captioner import load_captioner, tidy
from lift3d_ray.models.captioner_blip2 import Blip2Captioner, load_blip2

WORDS = ("<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "\u0120", "<image>")
QUERIES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``blip2-opt-2.7b`` is laid out: GPT-2's tokenizer files with OPT's special tokens."""
    folder = tmp_path_factory.mktemp("blip2")
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **special}))
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.5}
    config = transformers.Blip2Config(
        vision_config={**size, "intermediate_size": 32, "image_size": 32, "patch_size": 16},
        qformer_config={**size, "intermediate_size": 32, "encoder_hidden_size": 16, "vocab_size": 8},
        text_config={
            "model_type": "opt",
            "hidden_size": 16,
            "word_embed_proj_dim": 16,
            "ffn_dim": 32,
            "init_std": 0.5,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "vocab_size": len(WORDS),
            "bos_token_id": 2,
            "eos_token_id": 2,
            "pad_token_id": 1,
        },
        num_query_tokens=QUERIES,
        image_token_index=WORDS.index("<image>"),
    )
    torch.manual_seed(0)
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def captioner(folder: Path) -> Blip2Captioner:
    return load_blip2(folder)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_the_folder_says_which_captioner_it_is(folder: Path) -> None:
    assert isinstance(load_captioner(folder), Blip2Captioner)


def test_it_says_what_the_official_model_says(captioner: Blip2Captioner, folder: Path) -> None:
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.BlipImageProcessor.from_pretrained(folder)
    inputs = processor(images=picture(4), return_tensors="pt")
    tokens = model.generate(**inputs, num_beams=3, do_sample=False, max_new_tokens=28)[0].tolist()
    letters = "".join(WORDS[token] for token in tokens if token not in (1, 2, len(WORDS) - 1))
    assert letters
    assert captioner.caption(picture(4)) == tidy(letters.replace("\u0120", " "))


def test_pictures_in_company_and_draws_by_seed(captioner: Blip2Captioner) -> None:
    pictures = [picture(seed) for seed in range(3)]
    assert captioner.captions(pictures) == [captioner.caption(one) for one in pictures]
    drawn = captioner.sample_captions(pictures[0], 4, nucleus=1.0, seed=1)
    assert len(set(drawn)) > 1
    assert drawn == captioner.sample_captions(pictures[0], 4, nucleus=1.0, seed=1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"text_config": {"model_type": "t5"}}, "wanted 'opt'"), ({"image_token_index": None}, "no image")],
)
def test_folders_of_other_models_are_refused(folder: Path, tmp_path: Path, change: dict, complaint: str) -> None:  # type: ignore[type-arg]
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config.pop("image_token_id", None)
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BundleError, match=complaint):
        load_captioner(tmp_path)
