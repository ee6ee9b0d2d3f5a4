"""What is recorded of a few episodes is what the policy and the simulation did."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Reach
from rlrobo_core.types import HELD_OUT, Form, Phase, RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.episode_record import (
    Reader,
    Shown,
    record,
    shown_of_evaluation,
    shown_of_training,
    write_record,
)
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer

SHIPPED = Path(__file__).parents[2] / "src/rlrobo_policy/rlrobo_policy/warm_start/reach"
TASK = Reach(max_steps=4)
G = 3


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    policy = load_policy(str(SHIPPED), TASK)
    policy.version = 0
    return policy


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(
        TASK, num_worlds=2 * G, image_size=112, num_threads=1, num_render_workers=0
    )
    yield simulator
    simulator.close()


def rollouts(
    simulator: MujocoSimulator,
    policy: VlmPolicy,
    phase: Phase,
    form: Form,
    groups: int,
    size: int,
    branch_steps: int = 1,
) -> RolloutBuffer:
    request = RolloutRequest(
        request_id=1,
        iteration=4,
        phase=phase,
        form=form,
        task=TASK.name,
        seed=HELD_OUT if phase == "eval" else 0,
        group_ids=tuple(range(groups)),
        group_size=size,
        min_policy_version=0,
        temperature=0.0 if phase == "eval" else 1.0,
        branch_steps=branch_steps,
    )
    buffer = RolloutBuffer(request, keep_images=1 if phase == "eval" else None, watch=groups)
    engine = RolloutEngine(simulator, TASK, size)
    batch = engine.start(request)
    while batch is not None:
        buffer.add_observations(batch)
        if batch.last:
            break
        actions = policy.act(batch)
        buffer.add_actions(actions)
        batch = engine.act(actions)
    return buffer


def test_an_evaluations_failures_are_seen_first(
    simulator: MujocoSimulator, policy: VlmPolicy, tmp_path: Path
) -> None:
    buffer = rollouts(simulator, policy, "eval", "trajectory", groups=12, size=1)
    groups = buffer.groups()
    shown = shown_of_evaluation(groups)
    assert [bool(it.group.success) for it in shown] == [False] * 4 + [True]
    told = json.loads(
        write_record(tmp_path, "eval", record(buffer, shown, Reader(policy, TASK))).read_text()
    )
    assert (told["phase"], told["iteration"], told["seed"]) == ("eval", 4, HELD_OUT)
    for it, episode in zip(shown, told["episodes"], strict=True):
        assert episode["success"] == bool(it.group.success)
        assert len(episode["steps"]) == it.group.length
        rewards = [sample["reward"] for step in episode["steps"] for sample in step["samples"]]
        assert sum(rewards) == pytest.approx(it.group.reward, abs=1e-4)
        for step in episode["steps"]:
            with Image.open(io.BytesIO(base64.b64decode(step["image"]))) as image:
                assert image.size == (112, 112)
            assert step["samples"][0]["advantage"] is None


def test_what_is_recorded_is_what_was_done(simulator: MujocoSimulator, policy: VlmPolicy) -> None:
    buffer = rollouts(simulator, policy, "train", "trajectory", groups=2, size=G)
    group = buffer.groups()[0]
    (episode,) = record(buffer, [Shown(group, 1)], Reader(policy, TASK)).episodes
    mine = [(d, s) for d in group.decisions for s, r in enumerate(d.rollout_S) if r == 1]
    assert len(mine) == len(episode.steps)
    for (decision, s), step in zip(mine, episode.steps, strict=True):
        (sample,) = step.samples
        action_1D = policy.actions(decision.token_ST[s : s + 1], TASK)
        target_8 = end_effector_target(TASK, decision.ee_pose[None], action_1D)[0]
        reached = np.array(step.tool) + np.array(list(sample.action.values()))
        np.testing.assert_allclose(reached, target_8[:3], atol=2e-5)
        assert np.prod(sample.token_probabilities) == pytest.approx(sample.probability, abs=1e-4)
        weighted = sum(TASK.reward_weights[name] * value for name, value in sample.terms.items())
        assert weighted == pytest.approx(sample.reward, abs=1e-4)


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_training_shows_its_worst_and_its_best_with_their_advantages(
    simulator: MujocoSimulator, policy: VlmPolicy, form: Form
) -> None:
    buffer = rollouts(simulator, policy, "train", form, groups=3, size=G)
    groups, branching = buffer.groups(), form == "branch"
    trainer = GrpoTrainer(policy, GrpoConfig(), seed=0)
    weighed = {g.group_id: trainer.advantages(g) for g in groups}
    shown = shown_of_training(groups, branching)
    told = record(buffer, shown, Reader(policy, TASK, weighed))
    assert told.iteration == 5  # the update that learns from it
    worst, best = (
        sum(sample.reward for step in episode.steps for sample in step.samples if sample.chosen)
        for episode in told.episodes
    )
    assert worst < best
    for it, episode in zip(shown, told.episodes, strict=True):
        advantage_GL = weighed[it.group.group_id]
        for number, step in enumerate(episode.steps):
            assert len(step.samples) == (G if branching else 1)
            assert sum(sample.chosen for sample in step.samples) == 1
            rows = range(G) if branching else [it.rollout]
            for row, sample in zip(rows, step.samples, strict=True):
                assert sample.advantage == pytest.approx(advantage_GL[row, number], abs=1e-3)
    if not branching:
        assert told.episodes[0].group == told.episodes[1].group


def test_of_longer_branches_the_one_that_was_taken_is_seen(
    simulator: MujocoSimulator, policy: VlmPolicy
) -> None:
    buffer = rollouts(simulator, policy, "train", "branch", groups=2, size=G, branch_steps=2)
    group = buffer.groups()[0]
    (episode,) = record(buffer, [Shown(group, 0)], Reader(policy, TASK)).episodes
    assert len(episode.steps) == group.length
    for step in episode.steps:
        assert sum(sample.chosen for sample in step.samples) == 1
