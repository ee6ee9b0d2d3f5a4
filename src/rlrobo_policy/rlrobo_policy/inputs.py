"""From images and words to the model's inputs: one definition for acting and for training.

Shape legend: N prompts, P prompt tokens (padded), Q image patches of all prompts together.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    shown_I: tuple[int, ...] = ()
    """Which of these images each one in the prompts is, in their order; (): they are the same.
    Turns of one episode show the same images again, and each is encoded once."""
    folded: Folded | None = None
    """Where prompts stand that may be the beginning of another one's; None: each in a row of its
    own."""

    def __len__(self) -> int:
        """Prompts."""
        return len(self.folded.row_N if self.folded else self.token_NP)

    def to(self, device: torch.device | str) -> PromptInputs:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        tensors = {n: v.to(device) for n, v in values.items() if isinstance(v, torch.Tensor)}
        folded = self.folded and Folded(*(it.to(device) for it in self.folded))
        return replace(self, **tensors, folded=folded)


class Folded(NamedTuple):
    """N prompts in fewer rows."""

    row_N: torch.Tensor
    """i64[N]"""
    place_N: torch.Tensor
    """i64[N], which it is of the prompts in its row."""
    column_N: torch.Tensor
    """i64[N], of its last token."""


class Turn(NamedTuple):
    """A turn of a conversation that is over: what the user showed and said, and the answer."""

    image_C: NDArray[np.uint8]
    """u8[C, H, W, 3]"""
    text: str
    token_T: NDArray[np.integer[Any]]
    """Ids in the model's vocabulary of the action that followed."""


Past = tuple[Turn, ...]
"""The turns before an observation, the oldest first."""


class Frame(NamedTuple):
    """Token ids of a chat around what is said in it, images included."""

    before: NDArray[np.int64]
    """Of the first turn's text."""
    after: NDArray[np.int64]
    """From a text to the action that answers it."""
    between: NDArray[np.int64]
    """From an action to the next turn's text."""


TEXT, ACTION = "{text}", "{action}"
"""Stand for the user's text and the assistant's action while a frame is made."""


class PromptEncoder:
    """Encodes chat prompts with images for one model."""

    def __init__(self, vlm: Vlm, padding_side: Literal["left", "right"] = "right"):
        self.tokenizer, self.image_processor = vlm.tokenizer, vlm.image_processor
        self.padding_side = padding_side
        self.image_token_id = vlm.model.config.image_token_id
        self.pad_token_id = vlm.tokenizer.pad_token_id or 0
        self._frames: dict[tuple[int, int], Frame] = {}

    def __call__(
        self,
        image_NC: NDArray[np.uint8],
        texts: tuple[str, ...],
        past_N: Sequence[Past] = (),
        fold: bool = False,
    ) -> PromptInputs:
        """`image_NC` u8[N, C, H, W, 3] RGB and one text a prompt; H and W are multiples of the
        patch size times the merge size (28 for Qwen2.5-VL, 56 for the tiny model). `past_N`: of
        each prompt the turns that come before it, where there are any; every image is encoded
        once. `fold`: a prompt that is the beginning of another one's is read there, so that a
        conversation which is told from its begin is one row (for `action_states`)."""
        frame = self._frame(image_NC)
        if not any(past_N):
            tokens = [np.concatenate(self._turns(frame, (), text)) for text in texts]
            return self._inputs(tokens, image_NC)
        images = _Images()
        prompts = [
            _Prompt(
                self._turns(frame, past, text),
                tuple(images.place(it) for it in (*(turn.image_C for turn in past), image_C)),
            )
            for past, text, image_C in zip(past_N, texts, image_NC, strict=True)
        ]
        rows, row_N = _folded(prompts) if fold else (prompts, [])
        inputs = self._inputs([row.token_P for row in rows], np.stack(images.kept))
        cameras = image_NC.shape[1]
        shown_I = (i * cameras + c for row in rows for i in row.shown for c in range(cameras))
        inputs = replace(inputs, shown_I=tuple(shown_I))
        if not fold:
            return inputs
        place_N = [row_N[:n].count(row) for n, row in enumerate(row_N)]
        length_N = torch.tensor([len(prompt.token_P) for prompt in prompts])
        column_N = inputs.mask_NP.int().argmax(-1)[row_N] + length_N - 1
        folded = Folded(torch.tensor(row_N), torch.tensor(place_N), column_N)
        return replace(inputs, folded=folded)

    def length(self, image_NC: NDArray[np.uint8], text: str, action: int, past: int) -> int:
        """Tokens of a prompt and its answer of `action` tokens, after so many turns like it."""
        before, after, between = self._frame(image_NC)
        turn = len(self.tokenise(text)) + len(after) + action
        return len(before) + turn + past * (len(between) + turn)

    def images(self, image_NC: NDArray[np.uint8]) -> tuple[PromptInputs, NDArray[np.int64]]:
        """The beginning of prompts, up to the text; and the token ids that follow the text."""
        before, after, _ = self._frame(image_NC)
        return self._inputs([before] * len(image_NC), image_NC), after

    def tokenise(self, text: str) -> NDArray[np.int64]:
        """i64[tokens] of a user's text alone."""
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False), np.int64)

    def _turns(self, frame: Frame, past: Past, text: str) -> list[NDArray[np.int64]]:
        """Of each turn the tokens from the end of the one before it to the action."""
        texts = [self.tokenise(it) for it in (*(turn.text for turn in past), text)]
        begin = [frame.before, *(np.append(turn.token_T, frame.between) for turn in past)]
        return [np.concatenate([*it, frame.after]) for it in zip(begin, texts, strict=True)]

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
            grid_I3=torch.tensor([[1, rows, columns]]).repeat(len(image_NC) * cameras, 1),
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
            user: Any = {"role": "user", "content": content}
            said: Any = {"role": "assistant", "content": [{"type": "text", "text": ACTION}]}
            chat = self.tokenizer.apply_chat_template(
                [user, said, user], tokenize=False, add_generation_prompt=True
            )
            before, answered, after = str(chat).split(TEXT)
            _, between = answered.split(ACTION)
            parts = map(self.tokenise, (before, after, between))
            self._frames[key] = Frame(*(self._widened(part, image_tokens) for part in parts))
        return self._frames[key]

    def _widened(self, tokens: NDArray[np.int64], image_tokens: int) -> NDArray[np.int64]:
        """With as many tokens an image as the model has of one."""
        return np.repeat(tokens, np.where(tokens == self.image_token_id, image_tokens, 1))

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


class _Images:
    """Without repetitions."""

    def __init__(self) -> None:
        self.kept: list[NDArray[np.uint8]] = []
        self._places: dict[bytes, int] = {}

    def place(self, image_C: NDArray[np.uint8]) -> int:
        place = self._places.setdefault(image_C.tobytes(), len(self.kept))
        if place == len(self.kept):
            self.kept.append(image_C)
        return place


class _Prompt(NamedTuple):
    turns: list[NDArray[np.int64]]
    """Of each its tokens, up to where its action begins."""
    shown: tuple[int, ...]
    """Of each its images, by their place among all."""

    @property
    def token_P(self) -> NDArray[np.int64]:
        return np.concatenate(self.turns)

    def beginnings(self) -> list[tuple[object, ...]]:
        """What is the same of two prompts that begin with the same turns, for each number."""
        said = [(tokens.tobytes(), image) for tokens, image in zip(*self, strict=True)]
        return [tuple(said[: turns + 1]) for turns in range(len(said))]


def _folded(prompts: Sequence[_Prompt]) -> tuple[list[_Prompt], list[int]]:
    """Those that are not the beginning of another one, the rows; and of each prompt its row."""
    rows: list[_Prompt] = []
    row_of: dict[tuple[object, ...], int] = {}
    for prompt in sorted(prompts, key=lambda it: -len(it.turns)):
        *before, whole = prompt.beginnings()
        if whole not in row_of:
            row_of |= dict.fromkeys((*before, whole), len(rows))
            rows.append(prompt)
    return rows, [row_of[it.beginnings()[-1]] for it in prompts]


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
