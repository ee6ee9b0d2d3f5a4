"""An update ends where the policy has moved far enough from the one that acted."""

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
HASTY = 3e-3
"""A learning rate that takes the policy far within an update."""


def fresh_policy() -> VlmPolicy:
    policy = load_policy("tiny", TASK, image_size=56)
    policy.version = 0
    return policy


@pytest.fixture(scope="module")
def groups() -> list[RolloutGroup]:
    simulator = MujocoSimulator(TASK, num_worlds=2 * G, image_size=56)
    buffer = played(fresh_policy(), simulator, TASK, REQUEST)
    simulator.close()
    assert buffer.complete
    return buffer.groups()


def updated(
    groups: list[RolloutGroup], dump: Path, target_kl: float
) -> tuple[VlmPolicy, dict[str, float]]:
    policy = fresh_policy()
    config = GrpoConfig(learning_rate=HASTY, minibatch_size=8, target_kl=target_kl)
    return policy, GrpoTrainer(policy, config, seed=0).update(groups, 1.0, dump)


def test_an_update_ends_before_it_goes_too_far(groups: list[RolloutGroup], tmp_path: Path) -> None:
    _, hasty = updated(groups, tmp_path, target_kl=0.0)
    assert hasty["policy/approx_kl"] > 0.01
    policy, bounded = updated(groups, tmp_path, target_kl=0.01)
    assert 1 <= bounded["optim/steps"] < hasty["optim/steps"]
    assert bounded["policy/approx_kl"] < hasty["policy/approx_kl"]
    assert policy.version == 1


def test_a_bound_that_is_not_reached_changes_nothing(
    groups: list[RolloutGroup], tmp_path: Path
) -> None:
    one, free = updated(groups, tmp_path, target_kl=0.0)
    other, bounded = updated(groups, tmp_path, target_kl=1e9)
    assert free == bounded
    pairs = zip(one.vlm.model.parameters(), other.vlm.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
