"""PPO with a critic and generalised advantage estimation, as VLA-RL has it (arXiv 2505.18719).

    for each iteration:
        episodes   = rollouts of the current policy, each from a start of its own
        values     = what the critic says of every observation, and of those where the limit of
                     steps cut an episode off; an episode that ended has nothing to come
        advantages = generalised advantage estimates; returns = advantages + values
        for each minibatch: one AdamW step on
            clipped surrogate of whole actions + value_coef * clipped value loss

In the first `critic_warmup` iterations the critic alone learns: a critic that knows nothing yet
would push the policy anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_policy.critic import Backbone, Critic
from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.tree import action_states, symbol_logits
from rlrobo_train.advantages import explained_variance, gae
from rlrobo_train.batches import Batch, Weighed, pasts, prompts
from rlrobo_train.groups import RolloutGroup, Seen
from rlrobo_train.loss import LossTerms, value_loss
from rlrobo_train.trainer import Trainer, UpdateConfig, UpdateStats, mean


@dataclass(frozen=True)
class PpoConfig(UpdateConfig):
    """How a policy is updated by PPO."""

    gamma: float = 0.99
    """Discount of what is still to come."""
    gae_lambda: float = 0.95
    """From 0, where an advantage looks one step ahead and trusts the critic for the rest, to 1,
    where it looks at all that came (ppo)."""
    critic: Backbone = "shared"
    """shared: the critic reads the policy's own backbone; separate: a copy of it (ppo)."""
    critic_warmup: int = 5
    """Updates at the beginning in which the critic alone learns (ppo)."""
    critic_warmup_epochs: int = 8
    """Passes over the rollouts of such an update: the policy that they judge stands still, so that
    they stay true (ppo)."""
    critic_learning_rate: float = 1e-3
    """Of what is the critic's own: its head, and with critic:=separate its backbone (ppo)."""
    value_coef: float = 0.5
    """Weight of the value loss (ppo)."""
    value_clip: float = 0.2
    """How far an update may move a value, in units of return; 0, and while the critic warms up: not
    bounded (ppo)."""


STANDS_STILL = LossTerms(*(torch.zeros(()) for _ in range(6)), ratio_max=torch.ones(()))
"""Of a policy beside a critic that warms up."""


class Judged(NamedTuple):
    """An observation, in the eyes of the critic."""

    value: float
    state_H: torch.Tensor | None
    """What it was read off, where that does not change as the critic learns."""


class PpoTrainer(Trainer):
    """The policy and its critic."""

    def __init__(self, policy: VlmPolicy, config: PpoConfig, seed: int):
        self.ppo = config
        self.critic = Critic(policy, config.critic)
        super().__init__(policy, config, seed)
        self._advantages: dict[int, NDArray[np.float64]] = {}
        """group -> f64[G, L], of the last update."""
        self._mean, self._std = 0.0, 1.0
        """Of all these advantages."""
        self._values: UpdateStats = {}

    @property
    def warming_up(self) -> bool:
        """Whether the critic alone learns in this update."""
        return self.policy.version < self.ppo.critic_warmup

    @property
    def passes(self) -> int:
        return self.ppo.critic_warmup_epochs if self.warming_up else super().passes

    def advantages(self, group: RolloutGroup) -> NDArray[np.float64]:
        """As the last update, which learned from the group, had them."""
        return self._advantages[group.group_id]

    def _weigh(self, groups: list[RolloutGroup]) -> list[list[Weighed]]:
        seen = [it for group in groups for it in (*group.decisions, *group.end.values())]
        judged = iter(self._judge(seen))
        weighed, self._advantages = [], {}
        for group in groups:
            judged_D = [next(judged) for _ in group.decisions]
            after_G = np.zeros(len(group.reward_GL))
            for rollout in group.end:
                after_G[rollout] = next(judged).value
            weighed.append(self._weigh_group(group, judged_D, after_G))
        self._look_over(weighed)
        return weighed

    def _weigh_group(
        self, group: RolloutGroup, judged_D: Sequence[Judged], after_G: NDArray[np.float64]
    ) -> list[Weighed]:
        """`judged_D`: the group's decisions; `after_G`: values after each rollout's last step."""
        value_GL = np.zeros(group.reward_GL.shape)
        for decision, judged in zip(group.decisions, judged_D, strict=True):
            value_GL[decision.rollout_S, decision.step] = judged.value
        advantage_GL = gae(
            group.reward_GL,
            value_GL,
            group.alive_GL,
            after_G,
            self.ppo.gamma,
            self.ppo.gae_lambda,
        )
        self._advantages[group.group_id] = advantage_GL
        return [
            Weighed(decision, advantage_GL[decision.rollout_S, decision.step], *judged)
            for decision, judged in zip(group.decisions, judged_D, strict=True)
        ]

    def _look_over(self, weighed: list[list[Weighed]]) -> None:
        """What all actions of the iteration have in common."""
        rows = [row for of_group in weighed for row in of_group]
        join, none = self.learners.concatenated, np.zeros(0)
        advantage_M = join(np.concatenate([none, *(row.advantage_S for row in rows)]))
        values = [np.full(len(row.advantage_S), row.value) for row in rows]
        value_M = join(np.concatenate([none, *values]))
        self._mean, self._std = float(advantage_M.mean()), float(advantage_M.std())
        self._values = {
            "value/mean": float(value_M.mean()),
            "value/return": float((advantage_M + value_M).mean()),
            "value/explained_variance": explained_variance(advantage_M + value_M, value_M),
            "value/warming_up": float(self.warming_up),
        }

    def _judge(self, seen: Sequence[Seen]) -> list[Judged]:
        """What the critic says of each, and while it warms up on the policy's backbone, which
        stands still, what it reads that off: the warm-up's passes are over these alone."""
        judged: list[Judged] = []
        keep = self.warming_up and self.critic.backbone is None
        for first in range(0, len(seen), self.config.micro_batch):
            part = seen[first : first + self.config.micro_batch]
            image_NC = np.stack([it.image_C for it in part])
            texts, past_N = prompts(self.policy, part), pasts(self.policy, part)
            inputs = self.policy.encode_prompts(image_NC, texts, past_N, fold=True)
            state_NH = self.critic.states(self.model, inputs.to(self.policy.device))
            with torch.no_grad():
                value_N = self.critic.read(state_NH).tolist()
            states = state_NH if keep else [None] * len(part)
            judged += [Judged(*it) for it in zip(value_N, states, strict=True)]
        return judged

    def _loss(self, batch: Batch, temperature: float) -> LossTerms:
        if self.warming_up:
            return self._with_value_loss(STANDS_STILL, self._values_in_warmup(batch), batch)
        inputs, index_NST = self._inputs(batch)
        token_V = self.policy.token_V
        advantage_NS = batch.advantage_NS.to(self.policy.device)
        state_NSTH = action_states(self.model, inputs, index_NST, token_V)
        terms = self._surrogate(
            symbol_logits(self.model, state_NSTH, token_V),
            index_NST,
            inputs,
            batch,
            (advantage_NS - self._mean) / (self._std + 1e-8),
            temperature,
            whole_actions=True,
        )
        return self._with_value_loss(terms, self.critic(state_NSTH[:, 0, 0], inputs), batch)

    def _values_in_warmup(self, batch: Batch) -> torch.Tensor:
        """f32[N]"""
        if batch.state_NH is not None:
            return self.critic.read(batch.state_NH)
        inputs, _ = self._inputs(batch)
        return self.critic(None, inputs)

    def _with_value_loss(self, terms: LossTerms, value_N: torch.Tensor, batch: Batch) -> LossTerms:
        advantage_NS = batch.advantage_NS.to(self.policy.device)
        before_NS = batch.value_N.to(self.policy.device)[:, None].expand_as(advantage_NS)
        value, clipped = value_loss(
            value_N[:, None].expand_as(advantage_NS),
            before_NS,
            before_NS + advantage_NS,
            0.0 if self.warming_up else self.ppo.value_clip,
        )
        return terms._replace(
            total=terms.total + self.ppo.value_coef * value,
            value=value.detach(),
            value_clip_fraction=clipped,
        )

    def _parameters(self) -> list[dict[str, Any]]:
        own = list(self.critic.trained().values())
        return [*super()._parameters(), {"params": own, "lr": self.ppo.critic_learning_rate}]

    def _metrics(self, terms: list[tuple[LossTerms, int]], norms: list[float]) -> UpdateStats:
        told = super()._metrics(terms, norms)
        if self._values["value/warming_up"]:  # nothing was asked of the policy
            told = {key: told[key] for key in ("optim/lr", "optim/steps")}
        return told | {
            "loss/value": mean(terms, "value"),
            "value/clip_fraction": mean(terms, "value_clip_fraction"),
            **self._values,
        }

    def save_files(self, directory: Path) -> None:
        super().save_files(directory)
        self.critic.save(directory)

    def load_files(self, directory: Path) -> None:
        super().load_files(directory)
        self.critic.load(directory)
