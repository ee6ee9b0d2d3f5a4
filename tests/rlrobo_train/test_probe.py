"""Probing: one action is drawn, then everybody does what is likeliest, so that the one is judged
by itself. The real (tiny) policy on real MuJoCo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlrobo_core.tasks import Reach
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.advantages import returns_to_go
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.config import TrainConfig
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer

TASK = Reach(max_steps=7)
G, GROUPS, STEPS = 4, tuple(range(6)), 3
REQUEST = RolloutRequest(
    *(1, 0, "train", "probe", TASK.name, 5, GROUPS, G, 0, 1.0), branch_steps=STEPS
)


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    policy = load_policy("tiny", TASK, image_size=56)
    policy.version = 0
    return policy


Turn = tuple[ObservationBatch, ActionBatch]


@pytest.fixture(scope="module")
def turns(policy: VlmPolicy) -> list[Turn]:
    simulator = MujocoSimulator(TASK, num_worlds=3 * G, image_size=56)
    engine, said = RolloutEngine(simulator, TASK, G), []
    batch = engine.start(REQUEST)
    while not batch.last:
        said.append((batch, policy.act(batch)))
        following = engine.act(said[-1][1])
        assert following is not None
        batch = following
    simulator.close()
    return [*said, (batch, said[-1][1])]


@pytest.fixture(scope="module")
def groups(turns: list[Turn]) -> list[RolloutGroup]:
    buffer = RolloutBuffer(REQUEST)
    for batch, actions in turns:
        buffer.add_observations(batch)
        buffer.add_actions(actions)
    assert buffer.complete
    return buffer.groups()


def test_every_step_is_a_first_parting_in_some_group() -> None:
    first = [REQUEST.first_parting(group) for group in range(200)]
    counts = np.bincount(first, minlength=STEPS)
    assert len(counts) == STEPS and counts.min() > 40
    assert {replace(REQUEST, form="branch").first_parting(group) for group in range(9)} == {0}


def test_what_is_not_probed_is_what_is_likeliest(policy: VlmPolicy, turns: list[Turn]) -> None:
    drawn_differ = False
    for batch, actions in turns[:-1]:
        greedy = policy.act(replace(batch, request=replace(REQUEST, temperature=0.0)))
        ids_M = zip(actions.group_M.tolist(), actions.step_M.tolist(), strict=True)
        drawn_M = np.array([REQUEST.explores(*it) for it in ids_M], dtype=bool)
        assert np.array_equal(actions.token_MT[~drawn_M], greedy.token_MT[~drawn_M])
        drawn_differ |= bool((actions.token_MT[drawn_M] != greedy.token_MT[drawn_M]).any())
    assert drawn_differ


def test_members_are_one_until_they_part(groups: list[RolloutGroup]) -> None:
    for group in groups:
        first = REQUEST.first_parting(group.group_id)
        assert group.partings == tuple(range(first, group.reward_GL.shape[1], STEPS))
        alike_GL = group.reward_GL[:, :first]
        assert np.array_equal(alike_GL, np.broadcast_to(alike_GL[:1], alike_GL.shape))
        for decision in group.decisions:
            together = decision.step <= first or decision.step in group.partings
            assert len(decision.rollout_S) == (G if together else 1)
            assert decision.explored == (decision.step in group.partings)


def test_only_what_was_drawn_trains(
    policy: VlmPolicy, groups: list[RolloutGroup], tmp_path: Path
) -> None:
    trainer = GrpoTrainer(policy, GrpoConfig(gamma=1.0, minibatch_size=10_000), seed=0)
    probed = 0
    for group, rows in zip(groups, trainer._weigh(groups), strict=True):
        return_GL = returns_to_go(group.reward_GL, 1.0, group.partings)
        for row in rows:
            step, (_, *others) = row.decision.step, group.partings
            assert step in group.partings and len(row.advantage_S) == G
            until = next((it for it in others if it > step), None)
            followed_G = group.reward_GL[:, step:until].sum(1)
            np.testing.assert_allclose(return_GL[:, step], followed_G, atol=1e-6)
            best, worst = row.advantage_S.argmax(), row.advantage_S.argmin()
            assert followed_G[best] == followed_G.max() and followed_G[worst] == followed_G.min()
            probed += 1
    assert probed
    stats = trainer.update(groups, 1.0, tmp_path)
    assert stats["policy/ratio_max"] == pytest.approx(1.0, abs=1e-4)
    assert stats["groups/decisions"] == probed


def test_the_algorithm_asks_for_it() -> None:
    assert TrainConfig(follow="greedy").form == "probe"
    assert TrainConfig().form == "branch"
    assert TrainConfig(algorithm="grpo").form == "trajectory"
