"""An update waits until enough actions teach something, and then learns from all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from played import played

from rlrobo_core.tasks import Reach
from rlrobo_core.types import RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer

TASK = Reach(max_steps=4)
G = 4
REQUEST = RolloutRequest(*(1, 0, "train", "branch", TASK.name, 5, tuple(range(6)), G, 0, 1.0))


def trainer(min_actions: int) -> GrpoTrainer:
    policy = load_policy("tiny", TASK, image_size=56)
    policy.version = 0
    config = GrpoConfig(minibatch_size=10_000, min_actions=min_actions)
    return GrpoTrainer(policy, config, seed=0)


@pytest.fixture(scope="module")
def groups() -> list[RolloutGroup]:
    simulator = MujocoSimulator(TASK, num_worlds=2 * G, image_size=56)
    buffer = played(trainer(0).policy, simulator, TASK, REQUEST)
    simulator.close()
    return buffer.groups()


def weights(policy: VlmPolicy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.vlm.model.parameters()])


def test_until_enough_teach_nothing_changes_and_then_all_of_it_is_learned(
    groups: list[RolloutGroup], tmp_path: Path
) -> None:
    at_once, in_parts = trainer(0), trainer(10**9)
    before = weights(in_parts.policy)
    whole = at_once.update(groups, 1.0, tmp_path)
    assert whole["optim/steps"] == 1.0 and not torch.equal(weights(at_once.policy), before)

    first = in_parts.update(groups[:2], 1.0, tmp_path)
    assert first["optim/steps"] == 0.0 and in_parts.policy.version == 1
    assert torch.equal(weights(in_parts.policy), before)

    in_parts.config = GrpoConfig(minibatch_size=10_000, min_actions=G)
    rest = in_parts.update(groups[2:], 1.0, tmp_path)
    assert rest["optim/steps"] == 1.0
    assert rest["groups/decisions"] == whole["groups/decisions"] > first["groups/decisions"] > 0
    torch.testing.assert_close(weights(in_parts.policy), weights(at_once.policy))

    again = in_parts.update(groups[:1], 1.0, tmp_path)  # nothing is learned from twice
    assert again["groups/decisions"] < first["groups/decisions"]
