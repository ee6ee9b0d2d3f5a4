"""The simulator as one arm in small steps of real time: the scene, the pictures and the reach of
training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rlrobo_core import panda
from rlrobo_core.tasks import make_task
from rlrobo_sim.arm.arm import MujocoArm, MujocoArmConfig
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

CONFIG = MujocoArmConfig(image_size=56, cameras=("front", "wrist"), seed=7)


@pytest.fixture
def arm() -> Iterator[MujocoArm]:
    arm = MujocoArm(CONFIG)
    yield arm
    arm.close()


def test_it_shows_the_scenes_of_evaluation_one_after_the_other(arm: MujocoArm) -> None:
    task = make_task("reach")
    simulator = MujocoSimulator(task, 1, 56, ("front", "wrist"), num_render_workers=0)
    for episode in range(2):
        scene, randomization = initial_scene(task, CONFIG.seed, episode)
        simulator.reset([0], [scene], [randomization])
        assert arm.restart() == scene.instruction
        np.testing.assert_array_equal(arm.render(), simulator.render([0])[0])
    simulator.close()


def test_it_stands_still_until_it_is_told_a_target_and_then_goes_there(arm: MujocoArm) -> None:
    arm.restart()
    start = arm.state()
    for _ in range(25):
        arm.step(None, start.gripper_width)
    still = arm.state()
    assert np.abs(still.ee_pose[:3] - start.ee_pose[:3]).max() < 2e-3
    np.testing.assert_allclose(still.ee_pose, panda.forward(still.joints).pose, atol=1e-9)
    target = np.array([*still.ee_pose[:3], 1.0, 0.0, 0.0, 0.0])
    target[:3] += 0.05, -0.05, 0.05
    for _ in range(25):
        arm.step(target, 0.0)
    assert np.abs(arm.state().ee_pose[:3] - target[:3]).max() < 5e-3


def test_success_is_the_tasks(arm: MujocoArm) -> None:
    arm.restart()
    scene, _ = initial_scene(make_task("reach"), CONFIG.seed, 0)
    assert arm.state().success is False
    goal = np.concatenate([scene.object_pose["target"][:3], [1.0, 0.0, 0.0, 0.0]])
    for _ in range(100):
        arm.step(goal, 0.0)
    assert arm.state().success is True


def test_several_scenes_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="reach, stack"):
        MujocoArm(MujocoArmConfig(task="reach,stack"))
