"""One of several learners: python -m torch.distributed.run … learner_peer.py FOLDER

Updates on its share of FOLDER/groups.pkl, as `updates` has it; each writes what it ends with."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from rlrobo_core.tasks import Reach
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer
from rlrobo_train.learners import Learners, learners
from rlrobo_train.ppo import PpoConfig, PpoTrainer

TASK = Reach(max_steps=4)
STEPS = {"minibatch_size": 14, "micro_batch": 5, "epochs": 2, "kl_coef": 0.01, "target_kl": 0.4}
"""With the bound ppo ends its second update after two of six steps, grpo makes all six."""


def updates(
    groups: list[RolloutGroup], who: Learners, folder: Path
) -> Iterator[tuple[str, dict[str, torch.Tensor], dict[str, float]]]:
    """(algorithm, weights, metrics) of two updates: ppo's first one warms the critic up, and its
    metrics stand under a name of their own."""
    for algorithm in ("grpo", "ppo"):
        policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
        policy.version = 0
        torch.manual_seed(0)
        trainer = (
            GrpoTrainer(policy, GrpoConfig(**STEPS), seed=0)  # pyright: ignore[reportArgumentType]
            if algorithm == "grpo"
            else PpoTrainer(policy, PpoConfig(critic_warmup=1, **STEPS), seed=0)  # pyright: ignore[reportArgumentType]
        )
        trainer.learners = who
        first = trainer.update(who.share(groups), 1.0, folder)
        stats = trainer.update(who.share(groups), 1.0, folder)
        stats |= {f"first/{key}": value for key, value in first.items()}
        weights = {name: p.detach() for name, p in policy.vlm.model.named_parameters()}
        if isinstance(trainer, PpoTrainer):
            weights |= {f"critic.{k}": p.detach() for k, p in trainer.critic.trained().items()}
        yield algorithm, weights, stats


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    groups = pickle.loads((folder / "groups.pkl").read_bytes())
    with learners() as who:
        found = {name: found for name, *found in updates(groups, who, folder)}
        torch.save(found, folder / f"learner_{who.rank}.pt")


if __name__ == "__main__":
    main()
