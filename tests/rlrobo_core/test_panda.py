"""The Panda's forward kinematics and their derivative; a test of rlrobo_sim holds them equal to
MuJoCo's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrobo_core import panda
from rlrobo_core.codec import TOOL_DOWN
from rlrobo_core.rotation import exponential, rotated, turn_between, turned, z_axis

vectors = st.tuples(*[st.floats(-1.8, 1.8)] * 3)


def test_in_the_neutral_posture_the_tool_points_down_in_front_of_the_base() -> None:
    pose = panda.forward(panda.NEUTRAL).pose
    assert 0.5 < pose[0] < 0.7 and abs(pose[1]) < 0.01 and pose[2] > 0.0
    assert np.abs(turn_between(pose[3:].tolist(), TOOL_DOWN.tolist())).max() < 0.06


def test_the_jacobian_is_the_derivative_of_the_pose() -> None:
    rng = np.random.default_rng(0)
    for q in rng.uniform(panda.JOINT_LOW, panda.JOINT_HIGH, (10, 7)):
        tool = panda.forward(q)
        for joint in range(panda.NUM_JOINTS):
            step = 1e-6 * np.eye(7)[joint]
            low, high = panda.forward(q - step).pose, panda.forward(q + step).pose
            velocity = (high[:3] - low[:3]) / 2e-6
            turning = np.array(turn_between(low[3:].tolist(), high[3:].tolist())) / 2e-6
            np.testing.assert_allclose(tool.jacobian[:3, joint], velocity, atol=1e-6)
            np.testing.assert_allclose(tool.jacobian[3:, joint], turning, atol=1e-6)


@settings(derandomize=True, deadline=None)
@given(vectors, vectors)
def test_a_turn_leads_from_one_rotation_to_the_other(one, other) -> None:
    start, end = exponential(one), exponential(other)
    turn = turn_between(start, end)
    assert np.linalg.norm(turn) <= np.pi + 1e-9
    np.testing.assert_allclose(z_axis(turned(start, turn)), z_axis(end), atol=1e-6)
    np.testing.assert_allclose(rotated(end, (0.0, 0.0, 1.0)), z_axis(end), atol=1e-9)


def test_inverse_kinematics_find_the_angles_of_a_pose_within_the_limits() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        target = panda.forward(np.clip(panda.NEUTRAL + rng.uniform(-0.5, 0.5, 7),
                                       panda.JOINT_LOW, panda.JOINT_HIGH)).pose  # fmt: skip
        q = panda.inverse(target, panda.NEUTRAL)
        assert (q >= panda.JOINT_LOW).all() and (q <= panda.JOINT_HIGH).all()
        found = panda.forward(q).pose
        np.testing.assert_allclose(found[:3], target[:3], atol=1e-4)
        assert np.abs(turn_between(found[3:].tolist(), target[3:].tolist())).max() < 1e-3


def test_out_of_reach_the_angles_stay_within_the_limits() -> None:
    away = panda.forward(panda.NEUTRAL).pose + np.array([2.0, 0, 0, 0, 0, 0, 0])
    q = panda.inverse(away, panda.NEUTRAL)
    assert (q >= panda.JOINT_LOW).all() and (q <= panda.JOINT_HIGH).all()
