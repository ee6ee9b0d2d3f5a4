"""Demonstrations: labels are the expert's, the seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rlrobo_core.tasks import Reach
from rlrobo_sim.demonstrations import collect
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

TASK = Reach()


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=6, image_size=28)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def wider_simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=9, image_size=28)
    yield simulator
    simulator.close()


def test_labels_are_the_experts_whatever_was_executed(simulator):
    found = collect(simulator, TASK, episodes=8, seed=1, noise=0.5)
    goals_N3 = np.stack(
        [initial_scene(TASK, 1, e)[0].object_pose["target"][:3] for e in found.episode_N.tolist()]
    )
    offset_N3 = (goals_N3 - found.ee_pose_N[:, :3]) / TASK.max_step
    np.testing.assert_allclose(found.action_ND, np.clip(offset_N3, -1, 1), atol=1e-4)
    assert found.image_NC.shape == (len(found), 1, 28, 28, 3)
    assert len(found.instruction_N) == len(found.step_N) == len(found)


def test_every_episode_is_recorded_from_start_to_end(simulator):
    found = collect(simulator, TASK, episodes=8, seed=1, noise=0.5)
    assert found.success_E.shape == (8,)
    for episode in range(8):
        steps = found.step_N[found.episode_N == episode]
        assert sorted(steps) == list(range(len(steps)))
        assert found.success_E[episode] or len(steps) == TASK.max_steps


def test_demonstrations_are_a_function_of_the_seed(simulator, wider_simulator):
    narrow = collect(simulator, TASK, episodes=10, seed=3)
    wide = collect(wider_simulator, TASK, episodes=10, seed=3)
    one = np.lexsort((narrow.step_N, narrow.episode_N))
    two = np.lexsort((wide.step_N, wide.episode_N))
    assert np.array_equal(narrow.image_NC[one], wide.image_NC[two])
    assert np.array_equal(narrow.action_ND[one], wide.action_ND[two])
