"""What an update learns from, cut into AdamW steps and passes of the model.

Shape legend: N observations, S actions of each, T tokens of an action.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.inputs import Past, Turn
from rlrobo_policy.policy import VlmPolicy
from rlrobo_train.groups import Decision, Seen
from rlrobo_train.learners import ALONE, Learners


class Weighed(NamedTuple):
    """A decision, and what each of its actions is weighed with."""

    decision: Decision
    advantage_S: NDArray[np.float64]
    value: float = 0.0
    """What the critic said of the observation before the update, where there is one."""
    state_H: torch.Tensor | None = None
    """What it read that off, where that does not change as it learns."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """N decisions with S actions each, as arrays."""

    image_NC: NDArray[np.uint8]
    text_N: tuple[str, ...]
    """The prompts that the policy read."""
    past_N: list[Past]
    """The turns before them."""
    token_NST: torch.Tensor
    behaviour_NST: torch.Tensor
    advantage_NS: torch.Tensor
    value_N: torch.Tensor
    state_NH: torch.Tensor | None


def units(weighed: Sequence[Sequence[Weighed]], history: int) -> list[list[Weighed]]:
    """What learns together. Observations by themselves; where prompts tell former turns the
    conversations of a group, one after the other, so that what they share is read once."""
    if not history:
        return [[row] for of_group in weighed for row in of_group]

    def place(row: Weighed) -> tuple[int, int]:
        return int(row.decision.rollout_S[0]), row.decision.step

    return [sorted(of_group, key=place) for of_group in weighed if of_group]


def minibatches(
    units: Sequence[list[Weighed]],
    size: int,
    rng: np.random.Generator,
    learners: Learners = ALONE,
) -> Iterator[list[Weighed]]:
    """All units in random order, divided evenly into parts of about `size` actions. With several
    learners the units of all of them are, and each gets those of every part that are its own."""
    actions_of = learners.gather(
        [sum(len(row.decision.rollout_S) for row in unit) for unit in units]
    )
    first = sum(map(len, actions_of[: learners.rank]))
    parts = max(1, round(sum(map(sum, actions_of)) / size))
    for part in np.array_split(rng.permutation(sum(map(len, actions_of))), parts):
        if len(part):
            own = [units[i - first] for i in part if first <= i < first + len(units)]
            yield [row for unit in own for row in unit]


def pack(policy: VlmPolicy, rows: Sequence[Weighed], size: int) -> list[Batch]:
    """Batches of equal S and at most `size` observations, so that each is one tree-packed pass."""

    def samples(row: Weighed) -> int:
        return len(row.decision.rollout_S)

    same_samples = [list(group) for _, group in groupby(sorted(rows, key=samples), samples)]
    return [
        _stack(policy, same[first : first + size])
        for same in same_samples
        for first in range(0, len(same), size)
    ]


def _stack(policy: VlmPolicy, rows: Sequence[Weighed]) -> Batch:
    decisions = [row.decision for row in rows]
    states = [row.state_H for row in rows if row.state_H is not None]
    return Batch(
        image_NC=np.stack([d.image_C for d in decisions]),
        text_N=prompts(policy, decisions),
        past_N=pasts(policy, decisions),
        token_NST=torch.from_numpy(np.stack([d.token_ST for d in decisions])),
        behaviour_NST=torch.from_numpy(np.stack([d.logprob_ST for d in decisions])),
        advantage_NS=torch.from_numpy(np.stack([row.advantage_S for row in rows])).float(),
        value_N=torch.tensor([row.value for row in rows]),
        state_NH=torch.stack(states) if len(states) == len(rows) else None,
    )


def prompts(policy: VlmPolicy, seen: Sequence[Seen]) -> tuple[str, ...]:
    """The words beside the images of these observations."""
    return policy.prompts(
        [it.instruction for it in seen],
        np.stack([it.ee_pose for it in seen]),
        np.array([it.gripper_width for it in seen], np.float32),
    )


def pasts(policy: VlmPolicy, seen: Sequence[Seen]) -> list[Past]:
    """The turns before these observations, as the policy read them."""
    return [_past(policy, it) if it.past else () for it in seen]


def _past(policy: VlmPolicy, seen: Seen) -> Past:
    texts = prompts(policy, [said.seen for said in seen.past])
    turns = zip(seen.past, texts, strict=True)
    return tuple(Turn(said.seen.image_C, text, said.token_T) for said, text in turns)
