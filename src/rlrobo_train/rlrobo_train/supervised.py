"""The two supervised stages before reinforcement learning: seeing, then imitation.

Both teach answers that have an order (places, steps), so the target of a token is a Gaussian
over neighbouring symbols and not a single one: with few frames that is the difference between
a plateau and millimetres (docs/learning.md).

A stage teaches several lessons side by side (where things are, what is held; one task and
another). Each AdamW step mixes minibatches of several lessons. All have an equal share, however
few frames they have: episodes of Reach are short. All questions about a frame are asked at once:
its images are encoded once, and which of two cubes is meant is learned from the contrast.

Shape legend: K frames, S questions about a frame, D numbers and T tokens of an answer, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.questions import answer_logits, ask
from rlrobo_policy.tree import sample_actions
from rlrobo_policy.vlm import Vlm


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """S questions about each of K frames, with their answers."""

    image_KC: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    """K times u8[C, H, W, 3], in one array or wherever they lie; lessons may share them."""
    text_KS: Sequence[tuple[str, ...]]
    answer_KSD: NDArray[np.floating[Any]]
    """In the codec's range."""
    codec: Any
    token_V: torch.Tensor

    def __len__(self) -> int:
        """Frames."""
        return len(self.text_KS)

    def images(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """u8[n, C, H, W, 3]"""
        return np.stack([self.image_KC[row] for row in rows])


@dataclass(frozen=True, slots=True)
class LessonConfig:
    steps: int = 1500
    batch_size: int = 96
    """Frames of one AdamW step."""
    mixed: int = 6
    """Lessons that they come from, in equal parts; fewer where there are fewer."""
    learning_rate: float = 1e-3
    """Peak of a cosine after a short warm-up (AdamW)."""
    sigma: float = 1.5
    """Width of the soft targets, in symbols."""


def teach(
    vlm: Vlm,
    lessons: Sequence[Lesson],
    config: LessonConfig,
    seed: int,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Supervised fine-tuning; changes the model in place. Nothing where there are no steps."""
    if not config.steps:
        return
    model, encode = vlm.model.train(), PromptEncoder(vlm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.05
    )
    for step, minibatches in enumerate(_minibatches(lessons, config, seed)):
        loss = 0.0
        for lesson, rows in minibatches:
            part = _loss(vlm, encode, lesson, rows, config.sigma) / len(minibatches)
            part.backward()
            loss += float(part.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        report(step, loss)
    model.eval()


def _loss(
    vlm: Vlm, encode: PromptEncoder, lesson: Lesson, rows: NDArray[np.int64], sigma: float
) -> torch.Tensor:
    """Cross entropy with the smeared answers, the mean over all tokens."""
    device = vlm.model.device
    answer_KSD = lesson.answer_KSD[rows]
    flat_ND, shape = answer_KSD.reshape(-1, answer_KSD.shape[-1]), answer_KSD.shape[:2]
    index_KST = torch.from_numpy(lesson.codec.encode(flat_ND)).unflatten(0, shape)
    target_KSTV = torch.from_numpy(lesson.codec.soft_targets(flat_ND, sigma)).unflatten(0, shape)
    questions = ask(encode, lesson.images(rows.tolist()), [lesson.text_KS[row] for row in rows])
    logits_KSTV = answer_logits(
        vlm.model, questions.to(device), index_KST.to(device), lesson.token_V.to(device)
    )
    log_probs = torch.log_softmax(logits_KSTV, -1)
    return -(target_KSTV.to(device) * log_probs).sum(-1).mean()


Minibatch = tuple[Lesson, NDArray[np.int64]]
"""A lesson and rows of it."""


def _minibatches(
    lessons: Sequence[Lesson], config: LessonConfig, seed: int
) -> Iterator[list[Minibatch]]:
    """What each of `config.steps` steps learns from."""
    mixed = min(config.mixed, len(lessons))
    batch_size = max(config.batch_size // mixed, 1)
    shuffle, choose = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    shuffled = [_shuffled(len(lesson), batch_size, shuffle) for lesson in lessons]
    for _ in range(config.steps):
        chosen = choose.choice(len(lessons), mixed, replace=False)
        yield [(lessons[which], next(shuffled[which])) for which in chosen]


def _shuffled(n: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Minibatches without replacement, pass after pass."""
    queue = np.zeros(0, np.int64)
    while True:
        while len(queue) < batch:
            queue = np.concatenate([queue, rng.permutation(n)])
        rows, queue = queue[:batch], queue[batch:]
        yield rows


def answer(vlm: Vlm, lesson: Lesson, batch_size: int = 128) -> NDArray[np.float32]:
    """f32[K, S, D], the model's most likely answers, each question asked alone."""
    encode, device = PromptEncoder(vlm), vlm.model.device
    asked = lesson.answer_KSD.shape[1]
    asking = [(row, text) for row, texts in enumerate(lesson.text_KS) for text in texts]
    parts = []
    for first in range(0, len(asking), batch_size):
        rows, text_N = zip(*asking[first : first + batch_size], strict=True)
        inputs = encode(lesson.images(rows), text_N).to(device)
        uniform = torch.zeros(len(rows), 1, lesson.codec.num_tokens, device=device)
        index_N1T, _ = sample_actions(
            vlm.model, inputs, lesson.token_V.to(device), uniform, temperature=0.0
        )
        parts.append(lesson.codec.decode(index_N1T[:, 0].cpu().numpy()))
    return np.concatenate(parts).reshape(len(lesson), asked, -1)
