"""Which token ids the symbols of a codec are."""

from __future__ import annotations

import torch

from rlrobo_core.codec import ActionCodec
from rlrobo_policy.vlm import Vlm

NUM_LOCATION_BINS = 64
"""Symbols of the seeing stage's answers; action symbols come after them."""


def new_token_ids(vlm: Vlm, first: int, count: int) -> torch.Tensor:
    """i64[count], embedding rows that the tokenizer leaves unused (Qwen2.5-VL pads its
    embedding beyond the tokenizer; those rows never occur in text)."""
    start = len(vlm.tokenizer) + first
    rows = vlm.model.config.get_text_config().vocab_size
    if start + count > rows:
        raise ValueError(
            f"the model has {rows - len(vlm.tokenizer)} unused embedding rows, the action "
            f"codec needs {first + count}: take a coarser codec or codec:=words"
        )
    return torch.arange(start, start + count)


def action_token_ids(vlm: Vlm, codec: ActionCodec) -> torch.Tensor:
    """i64[V], the token id of each symbol of the codec."""
    if codec.words is None:
        return new_token_ids(vlm, NUM_LOCATION_BINS, codec.num_symbols)
    return word_token_ids(vlm, codec.words)


def word_token_ids(vlm: Vlm, words: tuple[str, ...]) -> torch.Tensor:
    """i64[V], the token of each word; ValueError where one takes several."""
    ids = [vlm.tokenizer.encode(word, add_special_tokens=False) for word in words]
    split = [word for word, tokens in zip(words, ids, strict=True) if len(tokens) != 1]
    if split:
        raise ValueError(
            f"the tokenizer splits the words {split} into several tokens: take codec:=tokens"
        )
    return torch.tensor([tokens[0] for tokens in ids])
