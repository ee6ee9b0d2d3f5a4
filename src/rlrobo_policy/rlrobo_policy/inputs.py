"""From images and words to the model's inputs: one definition for acting and for training.

Shape legend: N prompts, P prompt tokens (padded), Q image patches of all prompts together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.vlm import Vlm


@dataclass(frozen=True, slots=True, eq=False)
class PromptInputs:
    """N prompts ready for the model."""

    token_NP: torch.Tensor
    """i64[N, P]"""
    mask_NP: torch.Tensor
    """bool[N, P], False at padding."""
    position_3NP: torch.Tensor
    """i64[3, N, P], multimodal RoPE positions (time, height, width). Given explicitly because
    the model's own bookkeeping of them is stateful."""
    pixel_QD: torch.Tensor
    """f32[Q, D], normalised patches."""
    grid_I3: torch.Tensor
    """i64[images, 3], patches in time, height and width of each image."""

    def to(self, device: torch.device | str) -> PromptInputs:
        return replace(
            self, **{name: getattr(self, name).to(device) for name in self.__dataclass_fields__}
        )


class Frame(NamedTuple):
    """Token ids of a chat before and after the user's text, images included."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]


TEXT = "{text}"
"""Stands for the user's text while a frame is made."""


class PromptEncoder:
    """Encodes chat prompts with images for one model."""

    def __init__(self, vlm: Vlm, padding_side: Literal["left", "right"] = "right"):
        self.tokenizer, self.image_processor = vlm.tokenizer, vlm.image_processor
        self.padding_side = padding_side
        self.image_token_id = vlm.model.config.image_token_id
        self.pad_token_id = vlm.tokenizer.pad_token_id or 0
        self._frames: dict[tuple[int, int], Frame] = {}

    def __call__(self, image_NC: NDArray[np.uint8], texts: tuple[str, ...]) -> PromptInputs:
        """`image_NC` u8[N, C, H, W, 3] RGB and one text a prompt; H and W are multiples of the
        patch size times the merge size (28 for Qwen2.5-VL, 56 for the tiny model)."""
        before, after = self._frame(image_NC)
        tokens = [np.concatenate([before, self.tokenise(text), after]) for text in texts]
        return self._inputs(tokens, image_NC)

    def images(self, image_NC: NDArray[np.uint8]) -> tuple[PromptInputs, NDArray[np.int64]]:
        """The beginning of prompts, up to the text; and the token ids that follow the text."""
        before, after = self._frame(image_NC)
        return self._inputs([before] * len(image_NC), image_NC), after

    def tokenise(self, text: str) -> NDArray[np.int64]:
        """i64[tokens] of a user's text alone."""
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False), np.int64)

    def _inputs(self, tokens: list[NDArray[np.int64]], image_NC: NDArray[np.uint8]) -> PromptInputs:
        cameras, height, width = image_NC.shape[1:4]
        rows, columns = self._grid(height, width)
        merge = self.image_processor.merge_size
        token_NP, mask_NP = self._pad(tokens)
        position_3NP = rope_positions(
            token_NP == self.image_token_id, mask_NP, rows // merge, columns // merge
        )
        return PromptInputs(
            token_NP=torch.from_numpy(token_NP),
            mask_NP=torch.from_numpy(mask_NP),
            position_3NP=torch.from_numpy(position_3NP),
            pixel_QD=self._patches(image_NC),
            grid_I3=torch.tensor([[1, rows, columns]]).repeat(len(tokens) * cameras, 1),
        )

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        patch, unit = (
            self.image_processor.patch_size,
            self.image_processor.patch_size * self.image_processor.merge_size,
        )
        if height % unit or width % unit:
            raise ValueError(
                f"images of {width}x{height} pixels do not fit the model: width and height must be "
                f"multiples of {unit}; set image_size:={max(unit, round(height / unit) * unit)}"
            )
        return height // patch, width // patch

    def _frame(self, image_NC: NDArray[np.uint8]) -> Frame:
        """The chat around a text, kept: every text may be new, for it tells measurements. Special
        tokens border on the text, so that it is tokenised alone as in its place."""
        cameras, height, width = image_NC.shape[1:4]
        rows, columns = self._grid(height, width)
        image_tokens = rows * columns // self.image_processor.merge_size**2
        key = (cameras, image_tokens)
        if key not in self._frames:
            content = [{"type": "image"}] * cameras + [{"type": "text", "text": TEXT}]
            turns: list[Any] = [{"role": "user", "content": content}]
            chat = self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            before, after = map(self.tokenise, str(chat).split(TEXT))
            repeats = np.where(before == self.image_token_id, image_tokens, 1)
            self._frames[key] = Frame(np.repeat(before, repeats), after)
        return self._frames[key]

    def _pad(self, tokens: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        length = max(map(len, tokens))
        token_NP = np.full((len(tokens), length), self.pad_token_id, np.int64)
        mask_NP = np.zeros((len(tokens), length), bool)
        for row, ids in enumerate(tokens):
            columns = slice(len(ids)) if self.padding_side == "right" else slice(-len(ids), None)
            token_NP[row, columns], mask_NP[row, columns] = ids, True
        return token_NP, mask_NP

    def _patches(self, image_NC: NDArray[np.uint8]) -> torch.Tensor:
        """f32[Q, channels * time * patch * patch]: what `Qwen2VLImageProcessor` computes image
        by image where no resizing is needed, for all images at once (a test holds them equal)."""
        p, m, t = (
            self.image_processor.patch_size,
            self.image_processor.merge_size,
            self.image_processor.temporal_patch_size,
        )
        height, width = image_NC.shape[2:4]
        blocks = image_NC.reshape(-1, height // (p * m), m, p, width // (p * m), m, p, 3)
        patches = blocks.transpose(0, 1, 4, 2, 5, 7, 3, 6).reshape(-1, 3, 1, p, p)
        mean, std = (
            torch.tensor(values).view(3, 1, 1, 1)
            for values in (self.image_processor.image_mean, self.image_processor.image_std)
        )
        pixels = torch.from_numpy(patches).float().div_(255.0).sub_(mean).div_(std)
        return pixels.expand(-1, 3, t, p, p).reshape(-1, 3 * t * p * p)


def rope_positions(
    is_image_NP: NDArray[np.bool_], mask_NP: NDArray[np.bool_], rows: int, columns: int
) -> NDArray[np.int64]:
    """i64[3, N, P], Qwen2-VL's multimodal RoPE positions (arXiv 2409.12191, section 2.1): text
    advances all three by one; an image of rows x columns tokens holds time still, spreads over
    height and width, and the text after it goes on from its largest position."""
    tokens = rows * columns
    rank_NP = np.cumsum(is_image_NP, axis=1) - 1  # of an image token among its row's
    first_NP = is_image_NP & (rank_NP % tokens == 0)
    rest_NP = is_image_NP & ~first_NP
    step_NP = np.where(first_NP, max(rows, columns), mask_NP & ~is_image_NP)
    start_NP = np.cumsum(step_NP, axis=1) - step_NP
    start_NP -= np.where(rest_NP, max(rows, columns), 0)  # all of an image starts as its first
    height_NP, width_NP = np.divmod(rank_NP % tokens, columns)
    spread_3NP = np.stack([np.zeros_like(rank_NP), height_NP, width_NP]) * is_image_NP
    return (start_NP + spread_3NP) * mask_NP
