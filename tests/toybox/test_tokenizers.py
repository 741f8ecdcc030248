"""The written tokenizers load in the official classes and know the vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lift3d_ray.errors import ConfigError
from lift3d_ray.toybox.training.tokenizers import COMMON_WORDS, write_bert_tokenizer, write_clip_tokenizer

transformers = pytest.importorskip("transformers")

WORDS = (*COMMON_WORDS, "mug", "teapot", "vertical stripes", "zigzags")
SENTENCE = "a red mug with vertical stripes, front view"
STRANGE = ("Qwxyz!", "Ünïcödé wörds", "中文", "3D's", "\x00\t", "🙂", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokenizers")
    write_clip_tokenizer(root / "clip", WORDS)
    write_bert_tokenizer(root / "bert", WORDS)
    return root


@pytest.fixture(scope="module")
def clip(folder: Path) -> Any:
    return transformers.CLIPTokenizer.from_pretrained(folder / "clip")


@pytest.fixture(scope="module")
def bert(folder: Path) -> Any:
    return transformers.BertTokenizer.from_pretrained(folder / "bert")


def test_clip_knows_each_word_as_one_token(clip: Any) -> None:
    assert [w for w in (*COMMON_WORDS, "teapot", "zigzags") if len(clip(w).input_ids) != 3] == []


def test_clip_start_end_and_padding_are_as_published(clip: Any) -> None:
    ids = clip(SENTENCE, padding="max_length", truncation=True, return_tensors="pt").input_ids[0].tolist()
    assert len(ids) == clip.model_max_length == 24
    assert ids[0] == clip.bos_token_id == len(clip) - 2
    assert ids[10] == clip.eos_token_id == clip.pad_token_id == len(clip) - 1
    assert set(ids[10:]) == {clip.eos_token_id}


def test_clip_reads_back_what_it_wrote(clip: Any) -> None:
    assert clip.decode(clip(SENTENCE).input_ids, skip_special_tokens=True).replace(" ,", ",") == SENTENCE


@pytest.mark.parametrize("text", STRANGE)
def test_clip_spells_unknown_words_in_bytes(clip: Any, text: str) -> None:
    ids = clip(text, padding="max_length", truncation=True).input_ids
    words = ids[1 : ids.index(clip.eos_token_id)]
    assert len(ids) == 24
    assert bool(words) == bool(text.strip())


def test_clip_cuts_long_prompts(clip: Any) -> None:
    ids = clip("mug " * 100, padding="max_length", truncation=True).input_ids
    assert len(ids) == 24
    assert ids[-1] == clip.eos_token_id


def test_bert_knows_each_word_as_one_token(bert: Any) -> None:
    assert [w for w in (*COMMON_WORDS, "teapot", "zigzags") if len(bert(w).input_ids) != 3] == []


def test_bert_spells_unknown_words_in_letters(bert: Any) -> None:
    assert bert.tokenize("mugzq qzj") == ["mug", "##z", "##q", "q", "##z", "##j"]
    assert bert.unk_token_id not in bert("Qwxyz déjà vu 1234!").input_ids


def test_bert_special_tokens_serve_blip(bert: Any) -> None:
    assert (bert.pad_token_id, bert.cls_token_id, bert.sep_token_id) == (0, 2, 3)
    start = bert.convert_tokens_to_ids("[DEC]")
    assert start == len(bert) - 2
    ids = [start, *bert(SENTENCE).input_ids[1:]]
    assert bert.decode(ids, skip_special_tokens=True) == SENTENCE


def test_the_same_vocabulary_gives_the_same_files(tmp_path: Path, folder: Path) -> None:
    write_clip_tokenizer(tmp_path / "clip", tuple(reversed(WORDS)))
    write_bert_tokenizer(tmp_path / "bert", tuple(reversed(WORDS)))
    for name in ("clip/vocab.json", "clip/merges.txt", "bert/vocab.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_an_empty_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one word"):
        write_clip_tokenizer(tmp_path, ("", "123"))
