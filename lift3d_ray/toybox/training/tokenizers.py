"""Small tokenizers in the official file layouts: CLIP's byte-level BPE, and BERT's word pieces for BLIP.

Both know every word of the vocabulary as one token, and both spell out every other word: byte pairs in CLIP's case
(Radford et al. 2021, section 2.4), single letters in BERT's. They are written from words alone, so the same
vocabulary always gives the same files, and token ids never move between the training of one role and of another.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from lift3d_ray.errors import ConfigError

CLIP_MAX_LENGTH = 24
BERT_MAX_LENGTH = 32

CLIP_BOS, CLIP_EOS = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# BLIP adds these two after BERT's own words: the decoder starts with the first, the image-text encoder with the second.
BLIP_DECODE, BLIP_ENCODE = "[DEC]", "[ENC]"

_COMMON = """
a about above all an and animal apple around at back background ball banana bag basket bear bed behind below bench
beside best between bicycle big bike bird black blue blurry body book bottom bowl box boy branch bread bright broken
bronze brown bucket building bus button cactus camera candle canvas cap cartoon castle cat ceramic chair chicken child
church circle city clay clean clear clock close closeup cloth clothes cloud clouds coat coffee coin color colored
colorful colors colour coloured colourful concrete cookie copper corgi corner cow cream cube cup curtain curved cute
cylinder cyan dark deep desk detailed different dirty dish dog doll door dots dotted down drawing dress drum duck eagle
ear egg elephant empty eye eyes fabric face family farm fast feet field figure figurine fire fish flag flat floor
flower flowers flying food foot for fork fox frog from front fruit full fur furniture game garden giraffe girl glass
glasses gold golden grass gray green grey ground guitar hair half hamburger hand handle happy hat head heavy helmet
hexagon high hill holding home horse hot ice icon image in inside iron is island it its jacket jar key kitchen knife
large leaf left leg legs lemon light lion little living log long low machine magenta man map marble metal metallic
middle mini minimal model modern monkey moon motorcycle mountain mouse mouth natural near neck nest new nice night no
nose ocean of old on one open or orange outdoor outside oval overhead owl painted painting pale panda paper park part
pear pen pencil penguin people person photo photograph piano picture pig pillow pink pizza plain plant plastic plate
player playing plush point pot purple quality rabbit rainbow realistic rectangle red render rendered rendering right
ring river road rock roof room rope rough round royal rubber ruler running sand sandwich sculpture sea seat shadow
shape sharp sheep shelf shell shiny ship shirt shoe shop short side sign silver simple single sit sitting six sky small
smiling smooth snow sofa soft spaceship sphere spoon sports spots spotted square stand standing star statue steel step
stick stone stool straight strawberry street striped stripes studio stuffed style suitcase sun sunglasses surface sweet
tail tall teal teddy texture textured that the thick thin thing this three tiger to tomato top towel tower toy toys
traffic train transparent triangle truck two under up van vase vehicle view violet walking wall watch water watermelon
wheel wheels white wide window wine wing wings with woman wood wooden wool yellow young zebra zero
"""
COMMON_WORDS: tuple[str, ...] = tuple(_COMMON.split())


def toybox_vocabulary() -> tuple[str, ...]:
    """The words of the procedural world's captions and some four hundred common ones, sorted, lower-case, unique."""
    from lift3d_ray.toybox import VOCABULARY

    return _words((*VOCABULARY, *COMMON_WORDS))


def write_clip_tokenizer(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write ``vocab.json``, ``merges.txt`` and ``tokenizer_config.json`` for ``transformers.CLIPTokenizer``.

    Ids as in the published vocabulary: 256 byte characters, the same ending a word, one id a merge, start, end.

    Args:
        folder: where to write; made when missing.
        vocabulary: words that shall be one token each; phrases count as their words.

    Raises:
        ConfigError: when there is no word in the vocabulary.
    """
    alphabet = list(_byte_characters().values())
    merges = _byte_pair_merges([_byte_symbols(word) for word in _words(vocabulary)])
    tokens = [*alphabet, *(c + END_OF_WORD for c in alphabet), *(a + b for a, b in merges), CLIP_BOS, CLIP_EOS]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": CLIP_MAX_LENGTH,
            "bos_token": CLIP_BOS,
            "eos_token": CLIP_EOS,
            "unk_token": CLIP_EOS,
            "pad_token": CLIP_EOS,
        },
    )


def write_bert_tokenizer(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write ``vocab.txt`` and ``tokenizer_config.json`` for ``transformers.BertTokenizer``, as BLIP uses it.

    Order: BERT's five special tokens, printable ASCII, the same as word continuations, the words, [DEC], [ENC].

    Args:
        folder: where to write; made when missing.
        vocabulary: words that shall be one token each; phrases count as their words.

    Raises:
        ConfigError: when there is no word in the vocabulary.
    """
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    single = set(characters)
    tokens = [
        *BERT_SPECIAL,
        *characters,
        *(f"##{c}" for c in characters if c.isalnum()),
        *(word for word in _words(vocabulary) if word not in single),
        BLIP_DECODE,
        BLIP_ENCODE,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "model_max_length": BERT_MAX_LENGTH,
            "do_lower_case": True,
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "additional_special_tokens": [BLIP_DECODE, BLIP_ENCODE],
        },
    )


def _words(vocabulary: Iterable[str]) -> tuple[str, ...]:
    words = sorted({word for phrase in vocabulary for word in re.findall(r"[^\W\d_]+", phrase.lower())})
    if not words:
        raise ConfigError("a tokenizer needs at least one word of letters in its vocabulary, got none")
    return tuple(words)


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each of the 256 bytes, in the published vocabulary's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = sorted(set(range(256)) - set(printable))
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def _byte_symbols(word: str) -> tuple[str, ...]:
    stand_in = _byte_characters()
    symbols = [stand_in[b] for b in word.encode()]
    return (*symbols[:-1], symbols[-1] + END_OF_WORD)


def _byte_pair_merges(words: list[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016) run until every word is one symbol; ties go to the smaller pair."""
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [_merged(word, best) for word in words]


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    for symbol in word:
        # ``out`` never holds a fresh merge that could merge again with the same pair: a merge is longer than its parts.
        if out and (out[-1], symbol) == pair:
            out[-1] = out[-1] + symbol
        else:
            out.append(symbol)
    return tuple(out)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
