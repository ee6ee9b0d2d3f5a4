"""The two supervised stages before reinforcement learning: seeing, then imitation.

Both teach answers that have an order (places, steps), so the target of a token is a Gaussian
over neighbouring symbols and not a single one: with few frames that is the difference between
a plateau and millimetres (docs/learning.md).

A stage teaches several lessons side by side (where things are, what is held; one task and
another): each minibatch is of one lesson, drawn in proportion to the lessons' sizes.

Shape legend: N examples, K images, T answer tokens, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.tree import action_logits, sample_actions
from rlrobo_policy.vlm import Vlm


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """N questions about K images, with their answers."""

    image_KC: NDArray[np.uint8]
    """u8[K, C, H, W, 3]; lessons may share them."""
    image_of_N: NDArray[np.int64]
    """i64[N] in [0, K)"""
    text_N: tuple[str, ...]
    answer_ND: NDArray[np.floating[Any]]
    """In the codec's range."""
    codec: Any
    token_V: torch.Tensor

    def __len__(self) -> int:
        return len(self.text_N)

    def prompts(
        self, rows: Sequence[int] | NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """u8[n, C, H, W, 3] and the texts of some examples."""
        return self.image_KC[self.image_of_N[rows]], tuple(self.text_N[row] for row in rows)


@dataclass(frozen=True, slots=True)
class LessonConfig:
    steps: int = 1500
    batch_size: int = 96
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
    """Supervised fine-tuning; changes the model in place."""
    model, encode = vlm.model.train(), PromptEncoder(vlm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.05
    )
    for step, (lesson, rows) in enumerate(_minibatches(lessons, config, seed)):
        answer_nD = lesson.answer_ND[rows]
        logits = action_logits(
            model,
            encode(*lesson.prompts(rows)).to(model.device),
            torch.from_numpy(lesson.codec.encode(answer_nD)[:, None]).to(model.device),
            lesson.token_V.to(model.device),
        )[:, 0]
        target = lesson.codec.soft_targets(answer_nD, config.sigma)
        log_probs = torch.log_softmax(logits, -1)
        loss = -(torch.from_numpy(target).to(model.device) * log_probs).sum(-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step, float(loss.detach()))
    model.eval()


def _minibatches(
    lessons: Sequence[Lesson], config: LessonConfig, seed: int
) -> Iterator[tuple[Lesson, NDArray[np.int64]]]:
    """`config.steps` pairs of a lesson and rows of it."""
    shuffle, choose = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    shuffled = [_shuffled(len(lesson), config.batch_size, shuffle) for lesson in lessons]
    share = np.array([len(lesson) for lesson in lessons], np.float64)
    for which in choose.choice(len(lessons), config.steps, p=share / share.sum()):
        yield lessons[which], next(shuffled[which])


def _shuffled(n: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Minibatches without replacement, pass after pass."""
    queue = np.zeros(0, np.int64)
    while True:
        while len(queue) < batch:
            queue = np.concatenate([queue, rng.permutation(n)])
        rows, queue = queue[:batch], queue[batch:]
        yield rows


def answer(vlm: Vlm, lesson: Lesson, batch_size: int = 128) -> NDArray[np.float32]:
    """f32[N, D], the model's most likely answers."""
    encode, parts = PromptEncoder(vlm), []
    device = vlm.model.device
    for first in range(0, len(lesson), batch_size):
        rows = range(first, min(first + batch_size, len(lesson)))
        inputs = encode(*lesson.prompts(rows))
        uniform = torch.zeros(len(rows), 1, lesson.codec.num_tokens, device=device)
        index_N1T, _ = sample_actions(
            vlm.model, inputs.to(device), lesson.token_V.to(device), uniform, temperature=0.0
        )
        parts.append(lesson.codec.decode(index_N1T[:, 0].cpu().numpy()))
    return np.concatenate(parts)
