"""The kinematic arm goes where it is told, as far as its joints let it."""

from __future__ import annotations

import numpy as np
import pytest

from rlrobo_core import panda
from rlrobo_core.robot.arm import ArmConfig
from rlrobo_core.rotation import turn_between
from rlrobo_robot.mock.arm import GRIPPER_SPEED, MockArm


@pytest.fixture
def arm() -> MockArm:
    return MockArm(ArmConfig(cameras=("front", "wrist")))


@pytest.mark.parametrize("offset", [(0.1, 0.0, 0.0), (-0.1, 0.2, 0.1), (0.0, -0.25, -0.05)])
def test_it_reaches_a_target_and_its_pose_is_that_of_its_joints(arm: MockArm, offset) -> None:
    target = arm.state().ee_pose.copy()
    target[:3] += offset
    for _ in range(100):
        arm.step(target, 0.0)
    state = arm.state()
    np.testing.assert_allclose(state.ee_pose[:3], target[:3], atol=1e-4)
    assert np.linalg.norm(turn_between(state.ee_pose[3:], target[3:])) < 1e-3
    np.testing.assert_array_equal(state.ee_pose, panda.forward(state.joints).pose)


def test_its_joints_keep_their_limits_and_speeds(arm: MockArm) -> None:
    rng = np.random.default_rng(0)
    period = 1.0 / ArmConfig().rate_hz
    for _ in range(20):
        target = np.concatenate([rng.uniform(-2.0, 2.0, 3), [1.0, 0.0, 0.0, 0.0]])
        for _ in range(15):
            before = arm.state().joints
            arm.step(target, 0.0)
            after = arm.state().joints
            assert (np.abs(after - before) <= panda.JOINT_SPEED * period + 1e-12).all()
            assert (after >= panda.JOINT_LOW).all() and (after <= panda.JOINT_HIGH).all()


def test_told_nothing_it_stands_still(arm: MockArm) -> None:
    before = arm.state().joints
    arm.step(None, 0.0)
    np.testing.assert_array_equal(arm.state().joints, before)


def test_the_gripper_opens_at_its_speed_as_far_as_it_can(arm: MockArm) -> None:
    arm.step(None, 1.0)
    assert arm.state().gripper_width == pytest.approx(GRIPPER_SPEED / ArmConfig().rate_hz)
    for _ in range(100):
        arm.step(None, 1.0)
    assert arm.state().gripper_width == panda.MAX_WIDTH


def test_the_picture_shows_where_the_tool_is(arm: MockArm) -> None:
    first = arm.render()
    assert first.shape == (2, 112, 112, 3) and first.dtype == np.uint8
    target = arm.state().ee_pose.copy()
    target[1] += 0.2
    for _ in range(100):
        arm.step(target, 0.0)
    columns = [
        np.argwhere((image != 90).any(-1))[:, 1].mean() for image in (first[0], arm.render()[0])
    ]
    assert columns[0] - columns[1] == pytest.approx(0.2 * 112, abs=2.0)  # y is to the left
