"""The Panda's kinematics against Franka's table, written down a second time."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from rlrobo_core.panda import JOINT_HIGH, JOINT_LOW, NEUTRAL, forward
from rlrobo_core.rotation import rotated
from rlrobo_sim.mujoco import panda
from rlrobo_sim.mujoco.ik import ArmKinematics, rotation_vector
from rlrobo_sim.mujoco.robots import make_robot
from rlrobo_sim.mujoco.scene import build_kinematics
from rlrobo_sim.mujoco.workspace import REACH_HIGH, REACH_LOW, clip_to_reach

NUM_ARMS = 200
TOOL_DOWN_WXYZ = np.array([0.0, 1.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def arms() -> ArmKinematics:
    return ArmKinematics(build_kinematics(make_robot("primitive")), NUM_ARMS, num_threads=1)


def craig(a: float, d: float, alpha: float, theta: float) -> np.ndarray:
    """Transform of one row of a table in Craig's convention."""
    ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array(
        [
            [ct, -st, 0.0, a],
            [st * ca, ct * ca, -sa, -d * sa],
            [st * sa, ct * sa, ca, d * ca],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def tool_position(q: np.ndarray) -> np.ndarray:
    """Franka's documented parameters, then flange, hand (turned by -45 degrees), tool."""
    half = np.pi / 2
    pose = (
        craig(0, 0.333, 0, q[0])
        @ craig(0, 0, -half, q[1])
        @ craig(0, 0.316, half, q[2])
        @ craig(0.0825, 0, half, q[3])
        @ craig(-0.0825, 0.384, -half, q[4])
        @ craig(0, 0, half, q[5])
        @ craig(0.088, 0, half, q[6])
        @ craig(0, 0.107, 0, -np.pi / 4)
        @ craig(0, 0.1034, 0, 0)
    )
    return pose[:3, 3]


def test_forward_kinematics_is_frankas_table(arms: ArmKinematics) -> None:
    rng = np.random.default_rng(0)
    q_M = rng.uniform(JOINT_LOW, JOINT_HIGH, (100, 7))
    expected_M = np.array([tool_position(q) for q in q_M])
    np.testing.assert_allclose(arms.forward(q_M), expected_M, atol=1e-12)


def test_inverse_kinematics_reaches_a_step_of_five_centimetres(arms: ArmKinematics) -> None:
    rng = np.random.default_rng(1)
    quat_M = np.tile(TOOL_DOWN_WXYZ, (NUM_ARMS, 1))
    q_M = np.tile(NEUTRAL, (NUM_ARMS, 1))
    box = [[0.4, -0.2, 0.02], [0.75, 0.2, 0.3]]
    start_M = rng.uniform(*box, (NUM_ARMS, 3))
    for _ in range(6):
        q_M = arms.solve(q_M, clip_to_reach(start_M), quat_M, 0.1)
    target_M = clip_to_reach(start_M + rng.uniform(-0.05, 0.05, (NUM_ARMS, 3)))
    q_M = arms.solve(q_M, target_M, quat_M, 0.1)
    assert np.abs(arms.forward(q_M) - target_M).max() < 1e-3


def test_solutions_keep_the_joint_limits_wherever_they_are_sent(arms: ArmKinematics) -> None:
    rng = np.random.default_rng(2)
    q_M = np.tile(NEUTRAL, (NUM_ARMS, 1))
    quat_M = rng.normal(size=(NUM_ARMS, 4))
    quat_M /= np.linalg.norm(quat_M, axis=1, keepdims=True)
    target_M = rng.uniform(-2.0, 2.0, (NUM_ARMS, 3))
    for _ in range(20):
        q_M = arms.solve(q_M, target_M, quat_M, 0.1)
        assert np.isfinite(q_M).all()
        assert (q_M >= JOINT_LOW).all()
        assert (q_M <= JOINT_HIGH).all()


def test_rotation_vector_is_the_angle_for_small_turns() -> None:
    angle = 1e-3
    turned = np.array([[np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0]])
    still = np.array([[1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(rotation_vector(turned, still), [[0.0, angle, 0.0]], atol=1e-9)
    np.testing.assert_allclose(rotation_vector(-turned, still), [[0.0, angle, 0.0]], atol=1e-9)


def test_targets_are_clipped_to_the_reachable_box() -> None:
    rng = np.random.default_rng(3)
    position_M = rng.uniform(-5.0, 5.0, (1000, 3))
    clipped_M = clip_to_reach(position_M)
    assert (clipped_M[:, 2] >= REACH_LOW[2]).all()
    assert (np.abs(clipped_M[:, :2]) <= REACH_HIGH[:2]).all()
    np.testing.assert_array_equal(clip_to_reach(np.array([[0.5, 0.1, 0.2]])), [[0.5, 0.1, 0.2]])


def test_the_forward_kinematics_without_a_simulator_are_the_same() -> None:
    model = build_kinematics(make_robot("primitive"))
    data = mujoco.MjData(model)
    site = model.site(panda.TCP_SITE).id
    rng = np.random.default_rng(1)
    for q in rng.uniform(JOINT_LOW, JOINT_HIGH, (50, 7)):
        data.qpos[[model.joint(name).qposadr[0] for name in panda.ARM_JOINTS]] = q
        mujoco.mj_kinematics(model, data)
        pose = forward(q).pose
        np.testing.assert_allclose(pose[:3], data.site_xpos[site], atol=1e-12)
        matrix = [rotated(pose[3:], axis) for axis in np.eye(3)]
        np.testing.assert_allclose(
            np.transpose(matrix), data.site_xmat[site].reshape(3, 3), atol=1e-12
        )
