"""A kinematic arm: real forward kinematics, joint limits and joint speeds, and nothing else. It
has no dynamics and touches nothing; its camera draws where the tool is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlrobo_core import panda
from rlrobo_core.robot.arm import ArmConfig, ArmState
from rlrobo_core.rotation import turn_between

Array = NDArray[np.float64]

DAMPING = 0.01
GRIPPER_SPEED = 0.1
"""[m/s], Franka Hand: both fingers."""
SEEN_LOW, SEEN_HIGH = np.array([0.2, -0.5, 0.0]), np.array([0.9, 0.5, 0.8])
"""The part of the base frame that the camera shows, from above [m]."""
RADIUS = 0.05
"""Of the dot in the picture, as a share of its side."""


class MockArm:
    """See `rlrobo_core.robot.arm.Arm`."""

    def __init__(self, config: ArmConfig) -> None:
        self._config, self._period = config, 1.0 / config.rate_hz
        self.fovy_C = (math.radians(45.0),) * len(config.cameras)
        self.restart()

    def restart(self) -> str:
        self._q, self._width = panda.NEUTRAL.copy(), 0.0
        self._tool = panda.forward(self._q)
        return ""

    def step(self, target: Array | None, width: float) -> None:
        if target is not None:
            self._q = self._q + self._joint_step(target)
            self._q = np.clip(self._q, panda.JOINT_LOW, panda.JOINT_HIGH)
            self._tool = panda.forward(self._q)
        change = np.clip(width - self._width, *(GRIPPER_SPEED * self._period * np.array([-1, 1])))
        self._width = float(np.clip(self._width + change, 0.0, panda.MAX_WIDTH))

    def _joint_step(self, target: Array) -> Array:
        """f64[7], damped least squares, slowed as a whole to what the slowest joint can do:
        dq = J^T (J J^T + lambda^2 I)^-1 e (Nakamura & Hanafusa, 1986)."""
        pose, jacobian = self._tool
        turn = turn_between(pose[3:].tolist(), target[3:].tolist())
        error = np.concatenate([target[:3] - pose[:3], turn])
        gram = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        step = jacobian.T @ np.linalg.solve(gram, error)
        excess = np.abs(step) / (panda.JOINT_SPEED * self._period)
        return step / max(1.0, excess.max())

    def state(self) -> ArmState:
        return ArmState(self._q, self._tool.pose, self._width)

    def render(self) -> NDArray[np.uint8]:
        """The workspace from above, x up and y to the left, with a dot at the tool, the brighter
        the higher."""
        size = self._config.image_size
        x, y, z = (self._tool.pose[:3] - SEEN_LOW) / (SEEN_HIGH - SEEN_LOW)
        place = np.arange(size) / size
        dot = (place[:, None] - (1.0 - x)) ** 2 + (place - (1.0 - y)) ** 2 < RADIUS**2
        picture = np.full((size, size, 3), 90, np.uint8)
        picture[dot] = 255 * np.clip([0.3 + 0.7 * z, 0.5, 0.2], 0.0, 1.0)
        return np.repeat(picture[None], len(self._config.cameras), axis=0)

    def close(self) -> None:
        pass
