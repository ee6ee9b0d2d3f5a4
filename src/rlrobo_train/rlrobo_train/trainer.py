"""One iteration's update, whatever the algorithm:

    weighed = the decisions of the rollouts, each action with its advantage
    for each minibatch: one AdamW step on the algorithm's loss

What an advantage and a loss are is said in `grpo.py` and `ppo.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from rlrobo_policy.inputs import PromptInputs
from rlrobo_policy.policy import VlmPolicy
from rlrobo_policy.tree import action_logits, log_softmax
from rlrobo_train.batches import Batch, Weighed, minibatches, pack, units
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import ALONE
from rlrobo_train.loss import LossTerms, policy_loss


@dataclass(frozen=True)
class UpdateConfig:
    """How a policy is updated, whatever the algorithm."""

    learning_rate: float = 2e-4
    """Of AdamW."""
    anneal_lr: bool = False
    """It falls linearly to 0 over the run's budget; else it is constant."""
    lr_warmup: int = 0
    """AdamW steps over which it rises from near 0: the first ones, which go by the sign of a single
    gradient, are otherwise as long as any."""
    clip_low: float = 0.2
    clip_high: float = 0.28
    """Bounds of the probability ratio, 1 - clip_low to 1 + clip_high (DAPO)."""
    entropy_coef: float = 0.003
    """Weight of the entropy bonus: without one, higher rates collapse the policy."""
    kl_coef: float = 0.0
    """Weight of the KL divergence to the policy that the run started from; 0 leaves it out."""
    minibatch_size: int = 384
    """Actions that one AdamW step learns from, about: an iteration's are divided evenly."""
    min_actions: int = 0
    """An update waits, over iterations whose rollouts all the same policy makes, until so many
    actions teach something: where success is rare, an AdamW step from a few of them is as long as
    one from many, and goes anywhere. (DAPO's dynamic sampling, arXiv 2503.14476, fills its batches
    likewise.) 0: it never waits; a resumed run begins to wait anew."""
    epochs: int = 1
    """Passes over an iteration's rollouts."""
    micro_batch: int = 64
    """Observations of one forward and backward pass: bounds memory, changes nothing else."""
    target_kl: float = 0.0
    """An update ends before a step on actions whose probabilities have moved by more than this from
    those of the policy that acted (approximate KL divergence, mean over tokens, of ppo over
    actions); 0: it takes all its steps."""
    max_grad_norm: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    weight_decay: float = 0.0
    """Of AdamW."""


UpdateStats = dict[str, float]
"""Metrics of one update under slash keys, ready to be logged."""


class NotFinite(ValueError):
    """Loss or gradient is not a number; the batch has been saved."""


class Trainer(ABC):
    """Owns the optimiser of a policy's model. Updates in place; `policy.version` counts them."""

    def __init__(self, policy: VlmPolicy, config: UpdateConfig, seed: int):
        self.policy, self.config, self.seed = policy, config, seed
        self.model = policy.vlm.model
        self.optimizer = torch.optim.AdamW(
            self._parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._initial_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self._lr_scale = 1.0
        """Of all rates, in this update."""
        self.learners = ALONE
        """Who else makes the same updates (`learners.py`)."""
        self._waiting: list[list[Weighed]] = []
        """What earlier iterations taught that no update has learned from yet."""
        self.reference = trained_weights(policy) if config.kl_coef else None
        """What trains (of an adapter: it alone) as it was when the run began, at kl_coef > 0."""

    def update(
        self, groups: list[RolloutGroup], temperature: float, dump: Path, remaining: float = 1.0
    ) -> UpdateStats:
        """One iteration on whole groups; the policy's version goes up by one even where no group
        has anything to teach. NotFinite, after saving the batch into `dump`, on NaN. `remaining`:
        the part of the run's budget that is left, which scales the rate at `anneal_lr`."""
        self._lr_scale = remaining if self.config.anneal_lr else 1.0
        self._set_rates()
        weighed = self._waiting + self._weigh(groups)
        waits = self._actions(weighed) < self.config.min_actions
        self._waiting = weighed if waits else []
        learned = [] if waits else units(weighed, self.policy.spec.history)
        rng = np.random.default_rng((self.seed, self.policy.version))
        terms: list[tuple[LossTerms, int]] = []
        norms: list[float] = []
        size = self.config.minibatch_size
        passes = (minibatches(learned, size, rng, self.learners) for _ in range(self.passes))
        for part in chain.from_iterable(passes):
            part_terms, norm = self._step(part, temperature, dump)
            terms += part_terms
            if norm is None:
                break
            norms.append(norm)
        self.policy.version += 1
        taught = self.learners.joined([len(of_group) for of_group in weighed])
        return self._metrics(self._everywhere(terms), norms) | {
            "groups/without_variance": float(sum(not decisions for decisions in taught)),
            "groups/decisions": float(sum(taught)),
        }

    @property
    def passes(self) -> int:
        """Over the rollouts of this update."""
        return self.config.epochs

    def save_files(self, directory: Path) -> None:
        """What stands beside the model's weights in a checkpoint."""
        self.policy.save_files(directory)

    def load_files(self, directory: Path) -> None:  # noqa: B027
        """Of them what a resumed run needs besides the policy."""

    @abstractmethod
    def advantages(self, group: RolloutGroup) -> NDArray[np.float64]:
        """f64[G, L], what each action of the group is weighed with."""

    @abstractmethod
    def _weigh(self, groups: list[RolloutGroup]) -> list[list[Weighed]]:
        """Of each group the decisions that teach something."""

    @abstractmethod
    def _loss(self, batch: Batch, temperature: float) -> LossTerms: ...

    def _parameters(self) -> list[dict[str, Any]]:
        """AdamW's groups of parameters; each one's gradient is clipped by itself."""
        return [{"params": [p for p in self.model.parameters() if p.requires_grad]}]

    def _step(
        self, rows: list[Weighed], temperature: float, dump: Path
    ) -> tuple[list[tuple[LossTerms, int]], float | None]:
        """One AdamW step; rows are packed by how many actions share an observation. The loss
        terms of each pass, with the number of actions that they are means over, and the norm of
        the gradient; None where no step was made, for the policy is `target_kl` away already."""
        self.optimizer.zero_grad(set_to_none=True)
        batches = pack(self.policy, rows, self.config.micro_batch)
        actions = sum(batch.advantage_NS.numel() for batch in batches)
        total = sum(self.learners.gather(actions))
        terms = []
        for batch in batches:
            loss = self._loss(batch, temperature)
            actions = batch.advantage_NS.numel()
            (loss.total * actions / total).backward()
            terms.append((loss._replace(total=loss.total.detach()), actions))
            if not bool(torch.isfinite(loss.total)):
                raise self._not_finite(batch, dump)
        if self._is_far(terms):
            return terms, None
        groups = self.optimizer.param_groups
        self.learners.sum_gradients([p for group in groups for p in group["params"]])
        norms = [
            torch.nn.utils.clip_grad_norm_(group["params"], self.config.max_grad_norm)
            for group in groups
        ]
        if batches and not all(bool(torch.isfinite(norm)) for norm in norms):
            raise self._not_finite(batches[0], dump)
        self._set_rates()
        self.optimizer.step()
        return terms, float(norms[0])

    def _set_rates(self) -> None:
        """Of the next AdamW step. What has not learned yet, as the policy beside a critic that
        warms up, begins its own rise when it does."""
        for group, initial_lr in zip(self.optimizer.param_groups, self._initial_lrs, strict=True):
            states = (self.optimizer.state.get(p, {}) for p in group["params"])
            steps = max((int(state["step"]) for state in states if state), default=0)
            risen = min(1.0, (steps + 1) / max(1, self.config.lr_warmup))
            group["lr"] = initial_lr * self._lr_scale * risen

    def _actions(self, weighed: list[list[Weighed]]) -> int:
        """Of all learners."""
        rows = chain.from_iterable(weighed)
        return sum(self.learners.gather(sum(len(row.advantage_S) for row in rows)))

    def _is_far(self, terms: list[tuple[LossTerms, int]]) -> bool:
        """Of all learners, so that they agree."""
        target = self.config.target_kl
        return target > 0 and mean(self._everywhere(terms), "approx_kl") > target

    def _everywhere(self, terms: list[tuple[LossTerms, int]]) -> list[tuple[LossTerms, int]]:
        """The terms of all learners."""
        told = [(LossTerms(*(it.cpu() for it in term)), actions) for term, actions in terms]
        return self.learners.joined(told)

    def _inputs(self, batch: Batch) -> tuple[PromptInputs, torch.Tensor]:
        """The prompts, and which symbols the actions were, i64[N, S, T], for the model."""
        device = self.policy.device
        encode = self.policy.encode_prompts
        inputs = encode(batch.image_NC, batch.text_N, batch.past_N, fold=True).to(device)
        return inputs, torch.from_numpy(self.policy.symbols(batch.token_NST.numpy())).to(device)

    def _surrogate(
        self,
        logits_NSTV: torch.Tensor,
        index_NST: torch.Tensor,
        inputs: PromptInputs,
        batch: Batch,
        advantage_NS: torch.Tensor,
        temperature: float,
        whole_actions: bool = False,
    ) -> LossTerms:
        """The clipped loss of the batch's actions, with the bounds and weights of the run."""
        return policy_loss(
            logits_NSTV,
            index_NST,
            batch.behaviour_NST.to(self.policy.device),
            advantage_NS,
            temperature,
            self.config.clip_low,
            self.config.clip_high,
            self.config.entropy_coef,
            self.config.kl_coef,
            self._reference_logprobs(inputs, index_NST, temperature),
            whole_actions=whole_actions,
        )

    @torch.no_grad()
    def _reference_logprobs(
        self, inputs: PromptInputs, index_NST: torch.Tensor, temperature: float
    ) -> torch.Tensor | None:
        """f32[N, S, T], of the policy that the run started from; None where nobody asks."""
        if self.reference is None:
            return None
        with exchanged(self.policy, self.reference):
            logits = action_logits(self.model, inputs, index_NST, self.policy.token_V)
        return log_softmax(logits, temperature).gather(-1, index_NST[..., None])[..., 0]

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

    def _metrics(self, terms: list[tuple[LossTerms, int]], norms: list[float]) -> UpdateStats:
        """`terms` of each pass, with the number of actions that they are means over."""
        return {
            "loss/policy": mean(terms, "policy"),
            "loss/kl": mean(terms, "kl"),
            "policy/entropy": mean(terms, "entropy"),
            "policy/approx_kl": mean(terms, "approx_kl"),
            "policy/clip_fraction": mean(terms, "clip_fraction"),
            "policy/ratio_max": max((float(t.ratio_max) for t, _ in terms), default=1.0),
            "policy/ratio_first": float(terms[0][0].ratio_max) if terms else 1.0,
            "optim/lr": self.optimizer.param_groups[0]["lr"],
            "optim/steps": float(len(norms)),
            "optim/grad_norm": float(np.mean(norms)) if norms else 0.0,
        }


def trained_weights(policy: VlmPolicy) -> dict[str, torch.Tensor]:
    """A copy of what trains, by name."""
    named = policy.vlm.model.named_parameters()
    return {name: p.detach().clone() for name, p in named if p.requires_grad}


@contextmanager
def exchanged(policy: VlmPolicy, weights: dict[str, torch.Tensor]) -> Iterator[None]:
    """Meanwhile the model has these weights, of `trained_weights`. Nothing is copied, and what is
    to be differentiated finds its own again afterwards."""
    trained = {name: p for name, p in policy.vlm.model.named_parameters() if name in weights}
    own = {name: parameter.data for name, parameter in trained.items()}
    try:
        for name, parameter in trained.items():
            parameter.data = weights[name]
        yield
    finally:
        for name, parameter in trained.items():
            parameter.data = own[name]


def mean(terms: list[tuple[LossTerms, int]], name: str) -> float:
    """Of one loss term over the actions of all passes."""
    total = sum(actions for _, actions in terms)
    return sum(float(getattr(t, name)) * n for t, n in terms) / total if terms else 0.0
