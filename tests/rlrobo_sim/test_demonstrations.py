"""Warm start data: labels are the expert's, the truth is true, the seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rlrobo_core.tasks import Reach
from rlrobo_sim.demonstrations import TOOL_HIGH, TOOL_LOW, collect, spatial_frames
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


def test_spatial_frames_tell_the_truth(simulator):
    frames = spatial_frames(simulator, TASK, n=40, seed=2)
    goals_N3 = np.stack([initial_scene(TASK, 2, n)[0].object_pose["target"][:3] for n in range(40)])
    assert frames.image_NC.shape == (40, 1, 28, 28, 3)
    np.testing.assert_allclose(frames.object_pose["target"][:, :3], goals_N3, atol=1e-6)
    tool_N3 = frames.ee_pose_N[:, :3]
    assert (tool_N3 > TOOL_LOW - 0.2).all() and (tool_N3 < TOOL_HIGH + 0.2).all()
    assert (np.ptp(tool_N3, axis=0) > 0.6 * (TOOL_HIGH - TOOL_LOW)).all()


def test_spatial_frames_are_a_function_of_the_seed(simulator, wider_simulator):
    one = spatial_frames(simulator, TASK, n=11, seed=2)
    two = spatial_frames(wider_simulator, TASK, n=11, seed=2)
    assert np.array_equal(one.image_NC, two.image_NC)
    assert np.array_equal(one.ee_pose_N, two.ee_pose_N)
