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

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.tree import action_logits, log_softmax
from rlrobo_train.advantages import group_advantages, returns_to_go
from rlrobo_train.buffer import Decision, RolloutGroup
from rlrobo_train.loss import LossTerms, grpo_loss

Algorithm = Literal["grpo", "branch_grpo"]


@dataclass(frozen=True)
class GrpoConfig:
    """How a policy is updated."""

    learning_rate: float = 2e-4
    """Of AdamW, constant."""
    gamma: float = 0.5
    """Discount of the return along a trajectory or a branch. Short, for Reach pays every step:
    0.9 learned more slowly (docs/results.md)."""
    clip_low: float = 0.2
    clip_high: float = 0.28
    """Bounds of the probability ratio, 1 - clip_low to 1 + clip_high (DAPO)."""
    entropy_coef: float = 0.003
    """Weight of the entropy bonus: without one, higher rates collapse the policy."""
    kl_coef: float = 0.0
    """Weight of the KL divergence to the policy that the run started from; 0 leaves it out."""
    min_std: float = 0.01
    """Least standard deviation that an advantage is divided by, in units of reward."""
    minibatch_size: int = 384
    """Actions that one AdamW step learns from, about: an iteration's are divided evenly."""
    epochs: int = 1
    """Passes over an iteration's rollouts."""
    micro_batch: int = 64
    """Observations of one forward and backward pass: bounds memory, changes nothing else."""
    max_grad_norm: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    weight_decay: float = 0.0
    """Of AdamW."""


UpdateStats = dict[str, float]
"""Metrics of one update under slash keys, ready to be logged."""


class NotFinite(ValueError):
    """Loss or gradient is not a number; the batch has been saved."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """N decisions with S actions each, as arrays."""

    image_NC: NDArray[np.uint8]
    text_N: tuple[str, ...]
    """The prompts that the policy read."""
    token_NST: torch.Tensor
    behaviour_NST: torch.Tensor
    advantage_NS: torch.Tensor


class Trainer:
    """Owns the optimiser of a policy's model. Updates in place; `policy.version` counts them."""

    def __init__(self, policy: VlmPolicy, config: GrpoConfig, seed: int):
        self.policy, self.config, self.seed = policy, config, seed
        self.model = policy.vlm.model
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.reference = copy.deepcopy(self.model).eval() if config.kl_coef else None

    def update(
        self, groups: list[RolloutGroup], branch_steps: int | None, temperature: float, dump: Path
    ) -> UpdateStats:
        """One iteration on whole groups, of trajectories (None) or of branches that were followed
        for so many steps; the policy's version goes up by one even where no group has anything to
        teach. NotFinite, after saving the batch into `dump`, on NaN."""
        weighted = [self._weigh(group, branch_steps) for group in groups]
        decisions = [row for rows in weighted for row in rows]
        rng = np.random.default_rng((self.seed, self.policy.version))
        terms: list[tuple[LossTerms, int]] = []
        norms: list[float] = []
        for _ in range(self.config.epochs):
            for rows in self._minibatches(decisions, rng):
                minibatch_terms, norm = self._step(rows, temperature, dump)
                terms += minibatch_terms
                norms.append(norm)
        self.policy.version += 1
        silent = sum(not rows for rows in weighted)
        return self._metrics(terms, norms, silent, len(decisions))

    def advantages(self, group: RolloutGroup, branch_steps: int | None) -> NDArray[np.float64]:
        """f64[G, L], what each action of the group is weighed with. `branch_steps` as in update."""
        return_GL = returns_to_go(group.reward_GL, self.config.gamma, branch_steps)
        return group_advantages(return_GL, group.alive_GL, self.config.min_std)

    def _weigh(
        self, group: RolloutGroup, branch_steps: int | None
    ) -> list[tuple[Decision, NDArray[np.float64]]]:
        """The group's decisions with their advantages f64[S], without those that teach nothing."""
        advantage_GL = self.advantages(group, branch_steps)
        rows = [(d, advantage_GL[d.rollout_S, d.step]) for d in group.decisions]
        return [(decision, advantage_S) for decision, advantage_S in rows if advantage_S.any()]

    def _minibatches(
        self, rows: list[tuple[Decision, NDArray[np.float64]]], rng: np.random.Generator
    ) -> Iterator[list[tuple[Decision, NDArray[np.float64]]]]:
        actions = sum(len(decision.rollout_S) for decision, _ in rows)
        parts = max(1, round(actions / self.config.minibatch_size))
        for part in np.array_split(rng.permutation(len(rows)), parts):
            if len(part):
                yield [rows[i] for i in part]

    def _step(
        self, rows: list[tuple[Decision, NDArray[np.float64]]], temperature: float, dump: Path
    ) -> tuple[list[tuple[LossTerms, int]], float]:
        """One AdamW step; rows are packed by how many actions share an observation. The loss
        terms of each pass, with the number of actions that they are means over."""
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(len(decision.rollout_S) for decision, _ in rows)
        terms = []
        for batch in self._pack(rows):
            loss = self._loss(batch, temperature)
            actions = batch.advantage_NS.numel()
            (loss.total * actions / total).backward()
            terms.append((loss, actions))
            if not bool(torch.isfinite(loss.total)):
                raise self._not_finite(batch, dump)
        parameters = self.optimizer.param_groups[0]["params"]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        if not bool(torch.isfinite(norm)):
            raise self._not_finite(self._pack(rows)[0], dump)
        self.optimizer.step()
        return terms, float(norm)

    def _pack(self, rows: list[tuple[Decision, NDArray[np.float64]]]) -> list[Batch]:
        """Batches of equal S, so that each is one tree-packed pass."""
        size = self.config.micro_batch
        by_samples = sorted(rows, key=lambda row: len(row[0].rollout_S))
        same_samples = [list(g) for _, g in groupby(by_samples, lambda r: len(r[0].rollout_S))]
        return [
            self._stack(same[first : first + size])
            for same in same_samples
            for first in range(0, len(same), size)
        ]

    def _stack(self, rows: list[tuple[Decision, NDArray[np.float64]]]) -> Batch:
        decisions = [decision for decision, _ in rows]
        return Batch(
            image_NC=np.stack([d.image_C for d in decisions]),
            text_N=self.policy.prompts(
                [d.instruction for d in decisions],
                np.stack([d.ee_pose for d in decisions]),
                np.array([d.gripper_width for d in decisions], np.float32),
            ),
            token_NST=torch.from_numpy(np.stack([d.token_ST for d in decisions])),
            behaviour_NST=torch.from_numpy(np.stack([d.logprob_ST for d in decisions])),
            advantage_NS=torch.from_numpy(np.stack([a for _, a in rows])).float(),
        )

    def _loss(self, batch: Batch, temperature: float) -> LossTerms:
        device, token_V = self.policy.device, self.policy.token_V
        inputs = self.policy.encode_prompts(batch.image_NC, batch.text_N).to(device)
        index_NST = torch.from_numpy(self.policy.symbols(batch.token_NST.numpy())).to(device)
        reference_NST = None
        if self.reference is not None:
            with torch.no_grad():
                logits = action_logits(self.reference, inputs, index_NST, token_V)
                reference_NST = log_softmax(logits, temperature).gather(-1, index_NST[..., None])[
                    ..., 0
                ]
        return grpo_loss(
            action_logits(self.model, inputs, index_NST, token_V),
            index_NST,
            batch.behaviour_NST.to(device),
            batch.advantage_NS.to(device),
            temperature,
            self.config.clip_low,
            self.config.clip_high,
            self.config.entropy_coef,
            self.config.kl_coef,
            reference_NST,
        )

    def _not_finite(self, batch: Batch, dump: Path) -> NotFinite:
        path = dump / f"not_finite_{self.policy.version:06d}.safetensors"
        save_file(
            {
                "image": torch.from_numpy(batch.image_NC),
                "token": batch.token_NST,
                "behaviour": batch.behaviour_NST,
                "advantage": batch.advantage_NS,
            },
            path,
        )
        return NotFinite(
            f"the update of policy version {self.policy.version} is not finite; its batch is in "
            f"{path}, the last checkpoint is good: lower learning_rate in the run's config.yaml "
            f"and resume:={dump}"
        )

    def _metrics(
        self, terms: list[tuple[LossTerms, int]], norms: list[float], silent: int, decisions: int
    ) -> dict[str, float]:
        def mean(name: str) -> float:
            total = sum(actions for _, actions in terms)
            return sum(float(getattr(t, name)) * n for t, n in terms) / total if terms else 0.0

        return {
            "loss/policy": mean("policy"),
            "loss/kl": mean("kl"),
            "policy/entropy": mean("entropy"),
            "policy/approx_kl": mean("approx_kl"),
            "policy/clip_fraction": mean("clip_fraction"),
            "policy/ratio_max": max((float(t.ratio_max) for t, _ in terms), default=1.0),
            "policy/ratio_first": float(terms[0][0].ratio_max) if terms else 1.0,
            "optim/lr": self.config.learning_rate,
            "optim/grad_norm": float(np.mean(norms)) if norms else 0.0,
            "groups/without_variance": float(silent),
            "groups/decisions": float(decisions),
        }
