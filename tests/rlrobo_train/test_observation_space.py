"""What the trainer reads is what the policy read, whatever that sees: real cameras, real words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from played import played

from rlrobo_core.tasks import Reach
from rlrobo_core.types import Form, RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer
from rlrobo_train.trainer import UpdateStats

TASK = Reach(max_steps=3)
G = 4


@dataclass(frozen=True)
class Seeing:
    cameras: tuple[str, ...]
    proprioception: bool

    def policy(self) -> VlmPolicy:
        policy = load_policy("tiny", TASK, cameras=self.cameras, proprioception=self.proprioception)
        policy.version = 0
        return policy


SEEING = [
    Seeing(("front",), proprioception=True),
    Seeing(("front", "wrist"), proprioception=False),
    Seeing(("front", "wrist"), proprioception=True),
]


@pytest.fixture(scope="module", params=SEEING, ids=str)
def seeing(request: pytest.FixtureRequest) -> Seeing:
    torch.set_num_threads(1)
    return request.param


@pytest.fixture(scope="module")
def simulator(seeing: Seeing) -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(
        TASK, num_worlds=2 * G, image_size=112, cameras=seeing.cameras, num_render_workers=0
    )
    yield simulator
    simulator.close()


def rollouts(policy: VlmPolicy, simulator: MujocoSimulator, form: Form) -> list[RolloutGroup]:
    request = RolloutRequest(1, 0, "train", form, TASK.name, 0, (0, 1), G, 0, 1.0)
    return played(policy, simulator, TASK, request).groups()


def update(policy: VlmPolicy, groups: list[RolloutGroup], dump: Path) -> UpdateStats:
    """All groups in one step: every ratio is of the policy that acted."""
    trainer = GrpoTrainer(policy, GrpoConfig(minibatch_size=10_000), seed=0)
    return trainer.update(groups, temperature=1.0, dump=dump)


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_the_update_is_on_policy(
    seeing: Seeing, simulator: MujocoSimulator, form: Form, tmp_path: Path
) -> None:
    policy = seeing.policy()
    groups = rollouts(policy, simulator, form)
    image_NC = np.stack([d.image_C for group in groups for d in group.decisions])
    assert image_NC.shape[1:] == (len(seeing.cameras), 112, 112, 3)
    before = {name: p.detach().clone() for name, p in policy.vlm.model.named_parameters()}
    stats = update(policy, groups, tmp_path)
    assert stats["policy/ratio_max"] == pytest.approx(1.0, abs=1e-4)
    assert stats["policy/approx_kl"] < 1e-8
    after = dict(policy.vlm.model.named_parameters())
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_other_measurements_would_be_noticed(
    seeing: Seeing, simulator: MujocoSimulator, tmp_path: Path
) -> None:
    policy = seeing.policy()
    groups = [displaced(group) for group in rollouts(policy, simulator, "branch")]
    off_policy = update(policy, groups, tmp_path)["policy/approx_kl"] > 1e-4
    assert off_policy == seeing.proprioception


def displaced(group: RolloutGroup) -> RolloutGroup:
    """With the tool ten centimetres further left than it was."""
    left = np.float32([0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    moved = tuple(replace(d, ee_pose=d.ee_pose + left) for d in group.decisions)
    return replace(group, decisions=moved)


def test_every_camera_counts(seeing: Seeing, simulator: MujocoSimulator) -> None:
    request = RolloutRequest(1, 0, "train", "branch", TASK.name, 0, (0, 1), G, 0, 1.0)
    batch, policy = RolloutEngine(simulator, TASK, G).start(request), seeing.policy()
    seen = policy.act(batch).logprob_MT
    for camera in range(len(seeing.cameras)):
        image_NC = batch.observations.image_NC.copy()
        image_NC[:, camera] = 0
        blind = replace(batch, observations=replace(batch.observations, image_NC=image_NC))
        assert not np.allclose(policy.act(blind).logprob_MT, seen, atol=1e-3)
