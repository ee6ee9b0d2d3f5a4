"""Differential inverse kinematics of many arms at once: damped least squares.

    dq = z + J^T (J J^T + lambda^2 I)^-1 (e - J z),     z = k (q_rest - q)

with e the position error [m] and the rotation vector [rad] from tool to target, and z the
pull towards a posture at rest, which settles the one redundant joint
(Buss, Introduction to Inverse Kinematics, 2004; Nakamura & Hanafusa, 1986).
"""

from __future__ import annotations

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import JOINT_HIGH, JOINT_LOW, NEUTRAL
from rlrobo_sim.mujoco import panda

Array = NDArray[np.float64]

DAMPING = 0.01
_DAMPING_MATRIX = DAMPING**2 * np.eye(6)
ITERATIONS = 3
"""Always as many for every world, so that a world's answer does not depend on the others."""
POSTURE_GAIN = 0.1
MAX_TOOL_SPEED = 1.7
"""[m/s], Franka's Cartesian limit: further targets are approached over several control steps."""
MAX_TOOL_TURN = 2.5
"""[rad/s], likewise; an iteration."""


class ArmKinematics:
    """Forward and inverse kinematics of up to `num_arms` arms."""

    def __init__(self, model: mujoco.MjModel, num_arms: int, num_threads: int) -> None:
        self._batch = mujoco.batch.Batch(model, num_arms, num_threads)
        self._qpos = self._batch.bind("qpos")
        self._tcp = model.site(panda.TCP_SITE).id
        self._position = self._batch.bind("site_xpos")[:, self._tcp]
        self._quat = self._batch.bind("site_xquat")[:, self._tcp]
        self._hand = model.body("hand").id
        self._arm = np.array([model.joint(name).qposadr[0] for name in panda.ARM_JOINTS])
        self._dofs = np.array([model.joint(name).dofadr[0] for name in panda.ARM_JOINTS])

    def solve(self, start_M: Array, position_M: Array, quat_M: Array, duration: float) -> Array:
        """Joint angles f64[M, 7] within the limits that bring the tool from the angles
        `start_M` to `position_M` [m] and `quat_M` (unit, wxyz), or as near as the arm gets in
        `duration` [s]."""
        ids = np.arange(len(start_M))
        q_M, at_M = start_M, self.forward(start_M)
        goal_M = at_M + _limit(position_M - at_M, MAX_TOOL_SPEED * duration)
        for _ in range(ITERATIONS):
            turn_M = rotation_vector(quat_M, self._quat[: len(ids)])
            error_M = np.concatenate(
                [goal_M - at_M, _limit(turn_M, MAX_TOOL_TURN * duration)], axis=1
            )
            jacobian_M = np.concatenate(self._batch.jac(self._hand, at_M, ids), axis=1)
            step_M = _damped_step(jacobian_M[:, :, self._dofs], error_M, NEUTRAL - q_M)
            q_M = np.minimum(np.maximum(q_M + step_M, JOINT_LOW), JOINT_HIGH)
            at_M = self.forward(q_M)
        return q_M

    def forward(self, q_M: Array) -> Array:
        """Positions f64[M, 3] of the tool centre point at the joint angles f64[M, 7]."""
        self._qpos[: len(q_M), self._arm] = q_M
        self._batch.forward(np.arange(len(q_M)), stage=int(mujoco.mjtStage.mjSTAGE_POS))
        return self._position[: len(q_M)].copy()


def rotation_vector(target_M: Array, current_M: Array) -> Array:
    """f64[M, 3] about world axes, from `current_M` to `target_M` (wxyz), the shorter way;
    2 sin(angle / 2) long, which is the angle where it is small."""
    w, x, y, z = target_M.T
    cw, cx, cy, cz = current_M.T
    turn_M = np.stack(
        [
            cw * x - w * cx - y * cz + z * cy,
            cw * y - w * cy - z * cx + x * cz,
            cw * z - w * cz - x * cy + y * cx,
        ],
        axis=1,
    )
    cosine_M = w * cw + x * cx + y * cy + z * cz  # of half the angle
    return turn_M * np.where(cosine_M < 0.0, -2.0, 2.0)[:, None]


def _damped_step(jacobian_M: Array, error_M: Array, to_rest_M: Array) -> Array:
    pull_M = POSTURE_GAIN * to_rest_M
    transposed_M = np.ascontiguousarray(jacobian_M.transpose(0, 2, 1))
    gram_M = jacobian_M @ transposed_M + _DAMPING_MATRIX
    remaining_M = error_M[..., None] - jacobian_M @ pull_M[..., None]
    return pull_M + (transposed_M @ np.linalg.solve(gram_M, remaining_M))[..., 0]


def _limit(vector_M: Array, length: float) -> Array:
    norm_M = np.sqrt(np.sum(vector_M * vector_M, axis=1, keepdims=True))
    return vector_M * (length / np.maximum(norm_M, length))
