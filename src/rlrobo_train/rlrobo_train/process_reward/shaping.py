"""From what the process reward model says to reward.

    potential   F = gamma phi(s') - phi(s), phi being the score and 0 where an episode is over
                (Ng, Harada, Russell, ICML 1999; for episodes that end: Grzes, AAMAS 2017).
                Along a rollout the discounted sum is the same whatever it does, -phi(s0), so that
                no rollout gains by looking promising: what is best stays best
    plain       phi(s'), as VLA-RL adds its process reward: a rollout that looks promising for long
                gains more than one that succeeds soon

A branch that is followed for k steps and goes on is paid gamma^k phi(what it led to) - phi(where
it parted) by the potential: it need not have come to an end to be told from the others.

Shape legend: G rollouts of a group, L steps, E episodes: the group's rollouts, or the one of a
group that branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import ALONE, Learners

Shaping = Literal["potential", "plain"]


def process_reward(group: RolloutGroup, gamma: float, shaping: Shaping) -> NDArray[np.float64]:
    """f64[G, L], unweighted; 0 where nobody acted. A group without scores is a bug."""
    assert group.score is not None, "the buffer drops groups without scores"
    seen_GL, reached_GL = (score_GL.astype(np.float64) for score_GL in group.score)
    reward_GL = reached_GL if shaping == "plain" else gamma * reached_GL - seen_GL
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
    """`before` and `after` the process reward was added. The correlation is that of an episode's
    mean score with its success, over the episodes of the iteration, of all learners; 0 where either
    is the same for all. One that falls while the mean rises is the sign of a policy that fools the
    model."""
    pairs = zip(before, after, strict=True)
    join = learners.concatenated
    mean_E = join(np.concatenate([_mean_score(group) for group in before]))
    success_E = join(np.concatenate([buffer.succeeded(group) for group in before]))
    added_E = join(np.concatenate([_sum(b, b.reward_GL) - _sum(a, a.reward_GL) for a, b in pairs]))
    varied = mean_E.std() > 1e-8 and success_E.std() > 0
    return {
        "process/mean": float(mean_E.mean()),
        "process/correlation": float(np.corrcoef(mean_E, success_E)[0, 1]) if varied else 0.0,
        "process/reward": float(added_E.mean()),
    }


def _mean_score(group: RolloutGroup) -> NDArray[np.float64]:
    """f64[E], over the steps of each episode."""
    assert group.score is not None
    return _sum(group, group.score.seen_GL) / _sum(group, group.alive_GL)


def _sum(group: RolloutGroup, value_GL: NDArray[Any]) -> NDArray[np.float64]:
    """f64[E], along each episode: of a group that branches the one way that it went."""
    sum_G = np.where(group.chosen_GL, value_GL, 0.0).sum(1)
    return sum_G.sum(keepdims=True) if group.branching else sum_G
