"""The scripted experts solve their tasks with actions that a policy could give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rlrobo_core.tasks import Reach
from rlrobo_core.types import HELD_OUT
from rlrobo_sim.demonstrations import collect
from rlrobo_sim.experts import expert_action, expert_target
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

TASK = Reach()


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=20, image_size=16)
    yield simulator
    simulator.close()


def test_the_expert_reaches(simulator):
    solved = collect(simulator, TASK, episodes=40, seed=HELD_OUT, noise=0.0).success_E
    assert solved.mean() >= 0.98


def test_the_target_lies_within_one_step_of_the_measured_pose(simulator):
    worlds = range(simulator.num_worlds)
    scenes, seeds = zip(*(initial_scene(TASK, 5, world) for world in worlds), strict=True)
    simulator.reset(worlds, scenes, seeds)
    state = simulator.state(worlds)
    target_N8, action_N3 = expert_target(TASK, state), expert_action(TASK, state)
    step_N3 = target_N8[:, :3] - state.ee_pose_N[:, :3]
    assert (np.abs(step_N3) <= TASK.max_step + 1e-6).all()
    np.testing.assert_allclose(step_N3, action_N3 * TASK.max_step, atol=1e-6)
    assert (target_N8[:, 7] == 0.0).all()


def test_a_task_without_expert_names_those_with(simulator):
    with pytest.raises(ValueError, match=r"'other'.*reach"):
        expert_action(Reach(name="other"), simulator.state([0]))
