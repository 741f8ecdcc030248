"""Prompts to the text encoder's states, with words of the dictionary and with learned ones among them.

A learned token (see ``types.LearnedToken``) enters where a word's own embedding would: behind the tokenizer, before the
encoder (textual inversion: Gal et al. 2022, figure 2). The encoder itself is never changed.

Shape suffixes: B prompts, L tokens of a prompt, T tokens of a word, D embedding width.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from lift3d_ray.types import LEARNED_WORD, Float32, LearnedToken

_CACHED_PROMPTS = 4096


class TextEmbedder:
    """Prompts to embeddings, each computed once and then remembered by its own text.

    A text encoder that lies elsewhere than ``device`` stays there: its weights are lent to the device for as long as
    prompts are encoded, or a graph of gradients needs them, and are gone from it afterwards.

    Args:
        tokenizer: official CLIP tokenizer.
        text_encoder: official ``CLIPTextModel``.
        device: where prompts are encoded; None is where the encoder lies.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, *, device: str | torch.device | None = None) -> None:
        self._tokenizer = tokenizer
        self._encoder = text_encoder.eval()
        self._device = torch.device(text_encoder.device if device is None else device)
        self._lends = self._device.type != text_encoder.device.type
        self._cache: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, prompts: tuple[str, ...], learned: Sequence[LearnedToken] = ()) -> Tensor:
        """(B, L, D) last hidden states of B prompts.

        Args:
            prompts: may name learned tokens.
            learned: those that they name.

        Raises:
            ValueError: a prompt names a token that is not there, or one is of another width.
        """
        vectors = self._placed(learned)
        _check_named(prompts, vectors)
        with self._lock:
            missing = [p for p in dict.fromkeys(prompts) if p not in self._cache]
            if missing:
                with torch.no_grad():
                    encoded = self._encode(missing, vectors)
                for prompt, embedding in zip(missing, encoded, strict=True):
                    self._cache[prompt] = embedding
            result = torch.stack([self._cache[p] for p in prompts])
            for prompt in prompts:
                self._cache.move_to_end(prompt)
            while len(self._cache) > _CACHED_PROMPTS:
                self._cache.popitem(last=False)
        return result

    def differentiable(
        self, prompts: tuple[str, ...], learned: Sequence[LearnedToken]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """States as above, never remembered, and the learned vectors that they can be differentiated by.

        Returns:
            (B, L, D) states, and a (T, D) leaf of the graph for each learned token.
        """
        vectors = self._placed(learned)
        _check_named(prompts, vectors)
        leaves = tuple(vectors[token.word].requires_grad_() for token in learned)
        unique = list(dict.fromkeys(prompts))
        with self._lock, torch.enable_grad():
            encoded = self._encode(unique, vectors)
        return encoded[[unique.index(prompt) for prompt in prompts]], leaves

    def word_vectors(self, words: str) -> Float32:
        """(T, D) float32 input embeddings of the tokens that words are made of.

        Raises:
            ValueError: nothing but blanks.
        """
        ids = self._ids(words)
        if not ids:
            raise ValueError(f"wanted a word to look up, got {words!r}")
        table: Tensor = self._encoder.get_input_embeddings().weight
        return np.asarray(table.detach()[ids].float().cpu().numpy(), dtype=np.float32)

    def _placed(self, learned: Sequence[LearnedToken]) -> dict[str, Tensor]:
        """Learned vectors by their names, where the encoder is and in its precision."""
        width = int(self._encoder.config.hidden_size)
        wrong = [token.vectors_TD.shape for token in learned if token.vectors_TD.shape[1] != width]
        if wrong:
            raise ValueError(f"the text encoder takes learned tokens (T, {width}), got {wrong}: of another bundle?")
        return {
            token.word: torch.tensor(token.vectors_TD, device=self._device, dtype=self._encoder.dtype)
            for token in learned
        }

    def _encode(self, prompts: list[str], vectors: Mapping[str, Tensor]) -> Tensor:
        length = int(self._encoder.config.max_position_embeddings)
        ids: Tensor = self._tokenizer(
            [LEARNED_WORD.sub("", prompt) for prompt in prompts],
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        ).input_ids
        spots: list[tuple[int, int, Tensor]] = []
        for row, prompt in enumerate(prompts):
            if LEARNED_WORD.search(prompt):
                ids[row], found = self._spelled(prompt, vectors, length)
                spots += [(row, position, vector) for position, vector in found]
        with _spoken(self._encoder.get_input_embeddings(), spots):
            hidden: Tensor = self._states(ids.to(self._device)).last_hidden_state
        return hidden

    def _states(self, ids_BL: Tensor) -> Any:
        """The encoder's answer, computed on the device with weights that are lent to it where they lie elsewhere."""
        encoder = self._encoder
        if not self._lends:
            return encoder(ids_BL)
        tensors = itertools.chain(encoder.named_parameters(), encoder.named_buffers())
        lent = {name: tensor.to(self._device) for name, tensor in tensors}
        return functional_call(encoder, lent, (ids_BL,))

    def _spelled(
        self, prompt: str, vectors: Mapping[str, Tensor], length: int
    ) -> tuple[Tensor, list[tuple[int, Tensor]]]:
        """(L,) token ids of a prompt with learned tokens in it, and which vector stands at which place."""
        tokens = self._tokenizer
        ids, spots, at = [int(tokens.bos_token_id)], [], 0
        for match in LEARNED_WORD.finditer(prompt):
            ids += self._ids(prompt[at : match.start()])
            for vector in vectors[match.group()]:
                spots.append((len(ids), vector))
                # Whatever stands here is never looked at, but the end of the text is found by its id.
                ids.append(int(tokens.bos_token_id))
            at = match.end()
        ids = [*(ids + self._ids(prompt[at:]))[: length - 1], int(tokens.eos_token_id)]
        ids += [int(tokens.pad_token_id)] * (length - len(ids))
        return torch.tensor(ids), [(position, vector) for position, vector in spots if position < length - 1]

    def _ids(self, words: str) -> list[int]:
        ids: list[int] = self._tokenizer(words, add_special_tokens=False).input_ids
        return ids


def _check_named(prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> None:
    named = {word for prompt in prompts for word in LEARNED_WORD.findall(prompt)}
    if not named <= vectors.keys():
        missing = sorted(named - vectors.keys())
        raise ValueError(f"prompts name {missing}, which the query does not bring: pass it along")


@contextmanager
def _spoken(embeddings: torch.nn.Module, spots: Sequence[tuple[int, int, Tensor]]) -> Iterator[None]:
    """While this lasts, learned vectors (row, position, vector) stand in place of the dictionary's."""
    if not spots:
        yield
        return
    rows, positions, vectors = zip(*spots, strict=True)

    def speak(_module: torch.nn.Module, _inputs: object, output_BLD: Tensor) -> Tensor:
        places = (torch.tensor(rows, device=output_BLD.device), torch.tensor(positions, device=output_BLD.device))
        return output_BLD.index_put(places, torch.stack(vectors))

    hook = embeddings.register_forward_hook(speak)
    try:
        yield
    finally:
        hook.remove()
