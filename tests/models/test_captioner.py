"""The BLIP adapter over the official class and folder layout, with small random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from lift3d_ray.errors import BundleError  # noqa: E402
from lift3d_ray.models.captioner import BlipCaptioner, load_captioner, tidy  # noqa: E402
from lift3d_ray.models.nucleus import nucleus_draws  # noqa: E402
from lift3d_ray.toybox.training.tokenizers import COMMON_WORDS, write_bert_tokenizer  # noqa: E402


def write_folder(folder: Path) -> Path:
    """A BLIP folder as published ones are laid out: 32x32 pictures, half precision."""
    write_bert_tokenizer(folder, COMMON_WORDS)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {
        "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": 0,
    }
    config = transformers.BlipConfig(
        vision_config={**size, "image_size": 32, "patch_size": 8, "initializer_range": 0.5},
        text_config={**size, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 16},
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    transformers.BlipForConditionalGeneration(config).half().save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("captioner"))


@pytest.fixture(scope="module")
def captioner(folder: Path) -> BlipCaptioner:
    return load_captioner(folder)


def picture(seed: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_caption_is_one_tidy_sentence(captioner: BlipCaptioner) -> None:
    said = captioner.caption(picture(1, 40, 70))
    assert said
    assert said == tidy(said)


def test_the_same_picture_gets_the_same_words(captioner: BlipCaptioner) -> None:
    torch.manual_seed(1)
    first = captioner.caption(picture(1))
    torch.manual_seed(2)
    assert captioner.caption(picture(1)) == first


def test_company_in_the_batch_changes_nothing(captioner: BlipCaptioner) -> None:
    images = [picture(seed, 20 + seed, 50) for seed in range(5)]
    assert captioner.captions(images) == [captioner.caption(image) for image in images]


def test_the_official_model_says_the_same(captioner: BlipCaptioner, folder: Path) -> None:
    model = transformers.BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.BlipImageProcessor.from_pretrained(folder)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    inputs = processor(images=picture(4), return_tensors="pt")
    tokens = model.generate(**inputs, num_beams=3, do_sample=False, max_new_tokens=15)
    assert captioner.caption(picture(4)) == tidy(tokenizer.decode(tokens[0], skip_special_tokens=True))


@pytest.fixture(scope="module")
def undecided(folder: Path) -> BlipCaptioner:
    """A captioner to which most words are about as likely."""
    captioner = load_captioner(folder)
    text_decoder: Any = captioner.model.text_decoder
    decoder = text_decoder.get_output_embeddings()
    with torch.no_grad():
        decoder.weight.mul_(0.02)
    return captioner


def test_drawn_captions_follow_their_seed_alone(undecided: BlipCaptioner) -> None:
    captioner = undecided
    before = torch.get_rng_state()
    first = captioner.sample_captions(picture(1), 6, nucleus=1.0, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(first) == 6
    assert len(set(first)) > 1
    assert all(text == tidy(text) for text in first)
    torch.manual_seed(5)
    assert captioner.sample_captions(picture(1), 6, nucleus=1.0, seed=3) == first
    assert captioner.sample_captions(picture(1), 6, nucleus=1.0, seed=4) != first


def test_the_narrowest_nucleus_leaves_the_greedy_caption(captioner: BlipCaptioner, folder: Path) -> None:
    greedy = load_captioner(folder)
    greedy.beams = 1
    drawn = captioner.sample_captions(picture(2), 3, nucleus=1e-6, seed=0)
    assert drawn == [greedy.caption(picture(2))] * 3


def test_draws_are_those_of_the_nucleus() -> None:
    probability = torch.tensor([0.5, 0.3, 0.15, 0.05])
    scores = probability.log().expand(20000, 4)
    for draw in nucleus_draws(0.75, seed=1):
        scores = draw(torch.zeros(20000, 1, dtype=torch.long), scores)
    share = torch.bincount(scores.argmax(dim=1), minlength=4) / 20000
    torch.testing.assert_close(share, torch.tensor([0.625, 0.375, 0.0, 0.0]), atol=0.015, rtol=0)


def test_no_pictures_give_no_captions(captioner: BlipCaptioner) -> None:
    assert captioner.captions([]) == []


@pytest.mark.parametrize("wrong", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3), np.float32)])
def test_other_arrays_are_refused(captioner: BlipCaptioner, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 picture"):
        captioner.caption(wrong)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A Red  mug , front view.", "a red mug, front view"),
        ("two cats.\n", "two cats"),
        (" . ", "an object"),
        ("", "an object"),
    ],
)
def test_tidy(text: str, wanted: str) -> None:
    assert tidy(text) == wanted


def test_half_precision_is_brought_back(captioner: BlipCaptioner) -> None:
    assert captioner.model.dtype == torch.float32


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt", "preprocessor_config.json"])
def test_missing_files_are_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name.split(".")[-1]):
        load_captioner(tmp_path)


def test_an_unreadable_vocabulary_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match=r"vocab\.txt cannot be read"):
        load_captioner(tmp_path)


def test_damaged_weights_are_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00")
    with pytest.raises(BundleError, match=str(tmp_path)):
        load_captioner(tmp_path)
