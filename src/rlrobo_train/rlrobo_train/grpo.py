"""GRPO: from groups of rollouts to the next policy.

    for each iteration:
        groups     = rollouts of the current policy          (conductor.py, over the graph)
        advantages = return of a rollout, relative to its group, at every step
        for each minibatch: one AdamW step on the clipped surrogate

The two forms differ only in what a return is: along a trajectory the discounted sum of the
rewards to come; of a branch, of those up to the next branching point, for another branch may
be the one that the episode goes on with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.tree import action_logits
from rlrobo_train.advantages import group_advantages, returns_to_go
from rlrobo_train.batches import Batch, Weighed
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.loss import LossTerms
from rlrobo_train.trainer import Trainer, UpdateConfig


@dataclass(frozen=True)
class GrpoConfig(UpdateConfig):
    """How a policy is updated by GRPO."""

    gamma: float = 0.5
    """Discount of the return along a trajectory or a branch. Short, for Reach pays every step:
    0.9 learned more slowly (docs/results.md)."""
    min_std: float = 0.01
    """Least standard deviation that an advantage is divided by, in units of reward (GRPO)."""


class GrpoTrainer(Trainer):
    """Both forms."""

    def __init__(self, policy: VlmPolicy, config: GrpoConfig, seed: int):
        super().__init__(policy, config, seed)
        self.grpo = config

    def advantages(self, group: RolloutGroup) -> NDArray[np.float64]:
        return_GL = returns_to_go(group.reward_GL, self.grpo.gamma, group.partings)
        return group_advantages(return_GL, group.alive_GL, self.grpo.min_std)

    def _weigh(self, groups: list[RolloutGroup]) -> list[list[Weighed]]:
        return [self._weigh_group(group) for group in groups]

    def _weigh_group(self, group: RolloutGroup) -> list[Weighed]:
        """The group's decisions, without those where no action was better than another."""
        advantage_GL = self.advantages(group)
        drawn = [decision for decision in group.decisions if decision.explored]
        rows = [Weighed(d, advantage_GL[d.rollout_S, d.step]) for d in drawn]
        return [row for row in rows if row.advantage_S.any()]

    def _loss(self, batch: Batch, temperature: float) -> LossTerms:
        inputs, index_NST = self._inputs(batch)
        logits_NSTV = action_logits(self.model, inputs, index_NST, self.policy.token_V)
        advantage_NS = batch.advantage_NS.to(self.policy.device)
        return self._surrogate(logits_NSTV, index_NST, inputs, batch, advantage_NS, temperature)
