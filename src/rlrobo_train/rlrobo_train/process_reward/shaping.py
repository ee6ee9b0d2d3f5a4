"""From what the process reward model says to reward.

    potential   F = gamma phi(s') - phi(s), phi being the score and 0 where an episode is over
                (Ng, Harada, Russell, ICML 1999; for episodes that end: Grzes, AAMAS 2017).
                Along a rollout the discounted sum is the same whatever it does, -phi(s0), so that
                no rollout gains by looking promising: what is best stays best
    plain       phi(s'), as VLA-RL adds its process reward: a rollout that looks promising for long
                gains more than one that succeeds soon

Shape legend: G rollouts of a group, L steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlrobo_train.buffer import RolloutBuffer, RolloutGroup
from rlrobo_train.learners import ALONE, Learners

Shaping = Literal["potential", "plain"]


def process_reward(group: RolloutGroup, gamma: float, shaping: Shaping) -> NDArray[np.float64]:
    """f64[G, L], unweighted; 0 where nobody acted. A group without scores is a bug."""
    assert group.score is not None, "the buffer drops groups without scores"
    score = group.score.astype(np.float64)
    reached_GL, left_GL = score[:, 1:], score[:, :-1]
    reward_GL = reached_GL if shaping == "plain" else gamma * reached_GL - left_GL
    return np.where(group.alive_GL, reward_GL, 0.0)


def with_process_reward(
    groups: Sequence[RolloutGroup], weight: float, gamma: float, shaping: Shaping
) -> list[RolloutGroup]:
    """The groups with `weight` times the process reward added to their rewards."""

    def rewarded(group: RolloutGroup) -> RolloutGroup:
        extra_GL = weight * process_reward(group, gamma, shaping)
        return replace(group, reward_GL=(group.reward_GL + extra_GL).astype(np.float32))

    return [rewarded(group) for group in groups]


def process_metrics(
    before: Sequence[RolloutGroup],
    after: Sequence[RolloutGroup],
    buffer: RolloutBuffer,
    learners: Learners = ALONE,
) -> dict[str, float]:
    """`before` and `after` the process reward was added. The correlation is that of a rollout's
    mean score with its success, over the rollouts of the iteration, of all learners; 0 where either
    is the same for all. One that falls while the mean rises is the sign of a policy that fools the
    model."""
    pairs = zip(before, after, strict=True)
    join = learners.concatenated
    mean_R = join(np.concatenate([_mean_score(group) for group in before]))
    success_R = join(np.concatenate([buffer.succeeded(group) for group in before]))
    added_R = join(np.concatenate([b.reward_GL.sum(1) - a.reward_GL.sum(1) for a, b in pairs]))
    varied = mean_R.std() > 1e-8 and success_R.std() > 0
    return {
        "process/mean": float(mean_R.mean()),
        "process/correlation": float(np.corrcoef(mean_R, success_R)[0, 1]) if varied else 0.0,
        "process/reward": float(added_R.mean()),
    }


def _mean_score(group: RolloutGroup) -> NDArray[np.float64]:
    """f64[G], over the steps at which each rollout acted."""
    assert group.score is not None
    acted_GL = np.where(group.alive_GL, group.score[:, :-1], 0.0)
    return acted_GL.sum(1) / group.alive_GL.sum(1)
