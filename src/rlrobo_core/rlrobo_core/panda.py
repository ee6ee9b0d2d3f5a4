"""The Franka Panda's kinematics from Franka's public numbers, for whoever needs them without a
simulator.

Frames and limits are those of franka_description (robots/fer/*.yaml, Apache-2.0) and of Franka's
documentation (https://frankaemika.github.io/docs/control_parameters.html: Denavit-Hartenberg
parameters in Craig's convention). Lengths in m, angles in rad. The FR3 has the same frames.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.rotation import multiply, rotated, turn_between, z_axis

Array = NDArray[np.float64]

NUM_JOINTS = 7
DH_A = (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088)
DH_D = (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0)
DH_ALPHA = (0.0, -np.pi / 2, np.pi / 2, np.pi / 2, -np.pi / 2, np.pi / 2, np.pi / 2)
FLANGE_D = 0.107
HAND_YAW = -np.pi / 4
TCP_Z = 0.1034
"""Tool centre point in the hand's frame; the fingertips end 9 mm beyond."""
FINGER_Z = 0.0584
"""Where the fingers start, in the hand's frame."""
MAX_FINGER_TRAVEL = 0.04
MAX_WIDTH = 2 * MAX_FINGER_TRAVEL

JOINT_LOW = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
JOINT_HIGH = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
JOINT_SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
"""[rad/s]"""
JOINT_TORQUE = np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0])
"""[N m]"""
NEUTRAL = np.array([0.0, 0.41, 0.0, -1.85, 0.0, 2.26, 0.79])
"""panda_gym 3.0.7's neutral posture, tool pointing down."""


class Tool(NamedTuple):
    """The tool centre point at some joint angles."""

    pose: Array
    """f64[7] in the base frame"""
    jacobian: Array
    """f64[6, 7]: its velocity [m/s] and turning [rad/s] a unit of each joint's speed"""


def forward(q: Array) -> Tool:
    """Forward kinematics at the joint angles f64[7]."""
    place, rotation = np.zeros(3), (0.0, 0.0, 0.0, 1.0)
    origins, axes = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    for i, (a, d, alpha, angle) in enumerate(zip(DH_A, DH_D, DH_ALPHA, q.tolist(), strict=True)):
        # Rot_x(alpha) Trans_x(a) Trans_z(d) Rot_z(angle)
        place += rotated(rotation, (a, -d * math.sin(alpha), d * math.cos(alpha)))
        rotation = multiply(rotation, (math.sin(alpha / 2), 0.0, 0.0, math.cos(alpha / 2)))
        origins[i], axes[i] = place, z_axis(rotation)
        rotation = multiply(rotation, (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2)))
    place += rotated(rotation, (0.0, 0.0, FLANGE_D + TCP_Z))
    rotation = multiply(rotation, (0.0, 0.0, math.sin(HAND_YAW / 2), math.cos(HAND_YAW / 2)))
    velocities = np.cross(axes, place - origins)
    return Tool(np.concatenate([place, rotation]), np.concatenate([velocities, axes], axis=1).T)


DAMPING, POSTURE_GAIN = 0.01, 0.1
REACHED = 1e-5
"""[m], [rad]"""


def inverse(pose: Array, start: Array, iterations: int = 50) -> Array:
    """Joint angles f64[7] within the limits that bring the tool to the pose f64[7], one that it
    can have, from the angles `start`: damped least squares with a pull to the neutral posture,
    which settles the one redundant joint,

        dq = z + J^T (J J^T + lambda^2 I)^-1 (e - J z),     z = k (q_neutral - q)

    (Buss, Introduction to Inverse Kinematics, 2004)."""
    q = start
    for _ in range(iterations):
        at, jacobian = forward(q)
        turn = turn_between(at[3:].tolist(), pose[3:].tolist())
        error = np.concatenate([pose[:3] - at[:3], turn])
        if np.abs(error).max() < REACHED:
            break
        pull = POSTURE_GAIN * (NEUTRAL - q)
        gram = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        step = pull + jacobian.T @ np.linalg.solve(gram, error - jacobian @ pull)
        q = np.clip(q + step, JOINT_LOW, JOINT_HIGH)
    return q
