"""Policies that search before they act. Both wrap a policy and are one (`rlrobo_policy.policy`).

best of N     an `ActionScorer` judges N actions for an observation; the best is taken
look          the simulation tries all N actions; a `StateJudge` says where each has led:

    Q(s, a) = r + gamma V(s')        V(s') is 0 where the episode ended with success

A critic and a process reward model judge states and not actions, so they need to be shown what
comes of each. That is
possible in simulation alone, and it tells the reward of the step too, which no robot knows: what
a look reaches is a bound for those who choose from what they see.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rlrobo_core.task_set import Senses
from rlrobo_core.types import ActionBatch, ObservationBatch, Observations, PolicyUpdate
from rlrobo_policy.critic import FILE, Critic, load_critic
from rlrobo_policy.policy import Policy, VlmPolicy
from rlrobo_policy.process_reward import Card, load_process_reward
from rlrobo_policy.search.candidates import ActionScorer, answer, draw, each_waiting, waiting
from rlrobo_policy.search.config import SearchConfig
from rlrobo_policy.search.likelihood import Likelihood

GAMMA = 0.99
"""Discount of what the critic says is still to come: PPO's default."""
AT_A_TIME = 64
"""Observations that the critic judges in one pass: bounds memory."""


class BestOf:
    """Of `samples` actions takes the one that the scorer prefers; the most likely one where it
    prefers none."""

    def __init__(
        self, policy: VlmPolicy, scorer: ActionScorer, samples: int, temperature: float
    ) -> None:
        self.policy, self.scorer = policy, scorer
        self.samples, self.temperature = samples, temperature
        self._sequence = 0

    @property
    def version(self) -> int:
        return self.policy.version

    def load_weights(self, update: PolicyUpdate) -> None:
        self.policy.load_weights(update)

    def act(self, batch: ObservationBatch) -> ActionBatch:
        asked = each_waiting(batch)
        candidates = draw(self.policy, asked, self.samples, self.temperature)
        taken_N = self.scorer.score(candidates).argmax(-1)
        self._sequence += 1
        return answer(self._sequence, asked, candidates, taken_N)


class StateJudge(Protocol):
    """Says what states are worth."""

    def values(self, obs: Observations) -> NDArray[np.float32]:
        """f32[N], of each state that is shown."""
        ...


class CriticJudge:
    """A critic, with the policy's eyes."""

    def __init__(self, policy: VlmPolicy, critic: Critic) -> None:
        self.policy, self.critic = policy, critic

    def values(self, obs: Observations) -> NDArray[np.float32]:
        policy = self.policy
        text_N = policy.prompts(obs.instruction_N, obs.ee_pose_N, obs.gripper_width_N)
        values = []
        for first in range(0, len(obs), AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            inputs = policy.encode_prompts(obs.image_NC[part], text_N[part]).to(policy.device)
            values.append(self.critic.judge(policy.vlm.model, inputs))
        return torch.cat(values).cpu().numpy()


class Looking:
    """Answers requests of the form `look`: as many actions as a group has members, then which of
    them to go on with. Requests of another form it leaves to the policy."""

    def __init__(self, policy: VlmPolicy, judge: StateJudge, temperature: float) -> None:
        self.policy, self.judge, self.temperature = policy, judge, temperature
        self._sequence = 0

    @property
    def version(self) -> int:
        return self.policy.version

    def load_weights(self, update: PolicyUpdate) -> None:
        self.policy.load_weights(update)

    def act(self, batch: ObservationBatch) -> ActionBatch:
        self._sequence += 1
        if batch.request.form != "look":
            return replace(self.policy.act(batch), sequence=self._sequence)
        return self._choose(batch) if batch.judges else self._try(waiting(batch))

    def _try(self, batch: ObservationBatch) -> ActionBatch:
        members = batch.request.group_size
        obs = batch.observations
        candidates = draw(self.policy, batch, members, self.temperature)
        return ActionBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            policy_version=candidates.policy_version,
            group_M=obs.group_N[obs.row_M],
            rollout_M=obs.rollout_M,
            step_M=obs.step_N[obs.row_M],
            token_MT=candidates.token_NST.reshape(-1, candidates.token_NST.shape[-1]),
            logprob_MT=candidates.logprob_NST.reshape(-1, candidates.logprob_NST.shape[-1]),
            target_M=candidates.target_NS.reshape(-1, 8),
        )

    def _choose(self, batch: ObservationBatch) -> ActionBatch:
        """The member of each group with the highest Q; of several the first."""
        obs, out = batch.observations, batch.outcomes
        members = batch.request.group_size
        to_come_M = np.where(out.terminated_M, 0.0, self.judge.values(obs))
        quality_GM = (out.reward_M + GAMMA * to_come_M).reshape(-1, members)
        rows = np.arange(len(quality_GM)) * members + quality_GM.argmax(-1)
        stays = np.column_stack([obs.ee_pose_N[rows], obs.gripper_width_N[rows]])
        return ActionBatch(
            sequence=self._sequence,
            request_id=batch.request.request_id,
            policy_version=self.version,
            group_M=obs.group_N[rows],
            rollout_M=obs.rollout_N[rows],
            step_M=obs.step_N[rows],
            token_MT=np.zeros((len(rows), 0), np.int32),
            logprob_MT=np.zeros((len(rows), 0), np.float32),
            target_M=stays.astype(np.float32),
        )


def searching(policy: VlmPolicy, config: SearchConfig, checkpoint: str) -> Policy:
    """The policy as the configuration has it search; itself where it shall not. ValueError where
    nobody is there who could prefer one action to another."""
    if config.best_of == 1:
        return policy
    check_search(config, checkpoint, policy.spec.history)
    if config.scorer == "likelihood":
        return BestOf(policy, Likelihood(policy), config.best_of, config.search_temperature)
    return Looking(policy, _judge(policy, config, checkpoint), config.search_temperature)


def _judge(policy: VlmPolicy, config: SearchConfig, checkpoint: str) -> StateJudge:
    if config.scorer == "critic":
        return CriticJudge(policy, load_critic(policy, Path(config.critic_from or checkpoint)))
    spec = policy.spec
    return load_process_reward(
        Path(config.process_reward),
        policy.tasks,
        spec.codec,
        Senses(spec.cameras, spec.proprioception),
        spec.image_size,
        str(policy.device),
    )


def check_search(config: SearchConfig, checkpoint: str, history: int) -> None:
    """ValueError where actions cannot be weighed, or a critic is wanted and there is none."""
    if history:
        raise ValueError(
            f"best_of:={config.best_of} weighs actions for what is seen now, and history:="
            f"{history} lets prompts tell former turns too: leave one of the two out"
        )
    if config.scorer == "process":
        if not config.process_reward:
            raise ValueError(
                "scorer:=process lets a process reward model choose: name its directory as "
                "process_reward:=, or set scorer:=likelihood"
            )
        Card.load(Path(config.process_reward))
    elif config.looks and not Path(config.critic_from or checkpoint, FILE).is_file():
        raise ValueError(
            f"best_of:={config.best_of} needs someone who prefers one action to another, and "
            f"{config.critic_from or checkpoint or 'the warm start that ships'} holds no critic "
            f"({FILE}): name a checkpoint of a run with algorithm:=ppo as checkpoint:= or "
            "critic_from:=, or set scorer:=likelihood or process"
        )
