"""Several questions about the same images: a tree whose branches are a question and its answer.

The sequence of a row is [images (P)] [branch of the first question (B)] [of the second] …. A
token sees the images and the earlier tokens of its own branch: the same as prompts asked one by
one (a test), but images are encoded once, and that is most of the work. For training; actions
that share a whole prompt are `tree.py`'s.

Shape legend: K rows (images), P tokens up to the last image, S questions about a row, B tokens
of a branch, T tokens of an answer, V symbols of the codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.inputs import PromptEncoder, PromptInputs
from rlrobo_policy.tree import symbol_logits


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """S questions about the images of each of K rows."""

    images: PromptInputs
    """The beginning that the questions of a row share, no row of it padded."""
    token_KSB: torch.Tensor
    """i64[K, S, B], from there to where the answer begins, padded on the right."""
    length_KS: torch.Tensor
    """i64[K, S], without the padding."""

    def to(self, device: torch.device | str) -> Questions:
        return replace(
            self,
            images=self.images.to(device),
            token_KSB=self.token_KSB.to(device),
            length_KS=self.length_KS.to(device),
        )


def ask(
    encode: PromptEncoder, image_KC: NDArray[np.uint8], text_KS: Sequence[Sequence[str]]
) -> Questions:
    """`image_KC` u8[K, C, H, W, 3] RGB, and as many texts for one row as for the next."""
    images, after = encode.images(image_KC)
    tokens = [np.append(encode.tokenise(text), after) for texts in text_KS for text in texts]
    length_N = np.array([len(ids) for ids in tokens])
    token_NB = np.full((len(tokens), length_N.max()), encode.pad_token_id, np.int64)
    for row, ids in enumerate(tokens):
        token_NB[row, : len(ids)] = ids
    shape = len(text_KS), len(text_KS[0])
    return Questions(
        images=images,
        token_KSB=torch.from_numpy(token_NB).unflatten(0, shape),
        length_KS=torch.from_numpy(length_N).unflatten(0, shape),
    )


def answer_logits(
    model: Qwen2_5_VLForConditionalGeneration,
    questions: Questions,
    index_KST: torch.Tensor,
    token_V: torch.Tensor,
) -> torch.Tensor:
    """f32[K, S, T, V], logits of every token of given answers in one pass (teacher forcing).

    `index_KST` are symbols of the codec, `token_V` their token ids."""
    images, length_KS = questions.images, questions.length_KS
    rows, asked, num_tokens = index_KST.shape
    prefix = images.token_NP.shape[1]
    branch_KSB = _answered(questions, token_V[index_KST[..., :-1]])
    width = branch_KSB.shape[-1]
    after_N = images.position_3NP.amax(dim=(0, 2)) + 1
    depth = torch.arange(width, device=branch_KSB.device).repeat(asked)
    grown_3NL = (after_N[:, None] + depth).expand(3, rows, -1)
    hidden_KLH = model.model(
        input_ids=torch.cat([images.token_NP, branch_KSB.flatten(1)], dim=1),
        pixel_values=images.pixel_QD,
        image_grid_thw=images.grid_I3,
        position_ids=torch.cat([images.position_3NP, grown_3NL], dim=-1),
        attention_mask={
            "full_attention": _mask(prefix, asked, width, model.dtype, model.device).expand(
                rows, -1, -1, -1
            )
        },
        use_cache=False,
    ).last_hidden_state
    begin_S1 = prefix + torch.arange(asked, device=depth.device)[:, None] * width
    ask_KST = begin_S1 + (length_KS - 1)[..., None] + torch.arange(num_tokens, device=depth.device)
    row_K11 = torch.arange(rows, device=depth.device)[:, None, None]
    return symbol_logits(model, hidden_KLH[row_K11, ask_KST], token_V)


def _answered(questions: Questions, answer_KST: torch.Tensor) -> torch.Tensor:
    """i64[K, S, B], the questions with all but the last token of their answers behind them."""
    room = torch.zeros_like(answer_KST)
    column_KST = questions.length_KS[..., None] + torch.arange(
        answer_KST.shape[-1], device=answer_KST.device
    )
    return torch.cat([questions.token_KSB, room], dim=-1).scatter(-1, column_KST, answer_KST)


def _mask(
    prefix: int, asked: int, width: int, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """f32[1, 1, L, L], 0 where a query (row) may see a key (column), else the lowest float."""
    column = torch.arange(prefix + asked * width, device=device)
    branch = torch.where(column < prefix, -1, (column - prefix) // width)
    sees = (column[:, None] >= column) & ((branch == -1) | (branch[:, None] == branch))
    mask = torch.zeros(sees.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~sees, torch.finfo(dtype).min)[None, None]
