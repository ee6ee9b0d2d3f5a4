"""What panda-py 1.1.1 (PyPI: panda-python) offers of what the driver uses, with its names,
arguments and errors (held by test_panda.py), around a kinematic arm.

`make()` gives a library like the module `panda_py`; its `robot` is what stands on the table, for
tests to disturb.
"""

from __future__ import annotations

import enum
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from rlrobo_core import panda as kinematics
from rlrobo_core.robot.arm import ArmConfig
from rlrobo_robot.mock.arm import MockArm

HAND_F16 = [
    0.7071067811865476, -0.7071067811865475, 0.0, 0.0,
    0.7071067811865475, 0.7071067811865476, 0.0, 0.0,
    0.0, 0.0, 1.0, 0.0,
    0.0, 0.0, 0.1034, 1.0,
]  # fmt: skip
"""Franka Hand's tool centre point in the flange's frame, as Desk sets it: column by column."""


class RobotMode(enum.Enum):
    kOther = 0
    kIdle = 1
    kMove = 2
    kGuiding = 3
    kReflex = 4
    kUserStopped = 5
    kAutomaticErrorRecovery = 6


class IncompatibleVersionError(RuntimeError):
    def __init__(self, server_version: int, library_version: int) -> None:
        self.server_version, self.library_version = server_version, library_version
        super().__init__(f"The robot speaks protocol version {server_version}")


class Duration:
    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def to_msec(self) -> int:
        return self._milliseconds


@dataclass
class RobotState:
    q: list[float]
    O_T_EE: list[float]
    O_F_ext_hat_K: list[float]
    F_T_EE: list[float]
    robot_mode: RobotMode
    current_errors: str
    time: Duration


@dataclass
class GripperState:
    width: float
    max_width: float


@dataclass
class World:
    """The arm and the hand on the table."""

    server_version: int = 5
    mode: RobotMode = RobotMode.kIdle
    flange_to_tool: list[float] = field(default_factory=lambda: list(HAND_F16))
    max_width: float = 0.08
    hangs: bool = False
    """The control loop brings no new state."""
    lost: bool = False
    """Nobody answers any more."""
    milliseconds: int = 0
    arm: MockArm = field(default_factory=lambda: MockArm(ArmConfig(cameras=(), rate_hz=100.0)))
    width: float = 0.0
    error: str = ""
    """Of the control loop, not yet raised."""
    controller: Any = None
    told_hand: list[tuple[Any, ...]] = field(default_factory=list)
    stop_moving: threading.Event = field(default_factory=threading.Event)
    slow_home: float = 0.2
    """[s]"""

    def reflex(self) -> None:
        """The control loop ends with an exception, and nobody is told."""
        self.error = "libfranka: Move command aborted: motion aborted by reflex!"
        self.mode = RobotMode.kReflex

    def state(self) -> RobotState:
        """Moved on by a step; panda-py's own state stands still after a reflex."""
        if not (self.hangs or (self.controller and self.error)):
            self.milliseconds += 10
            if self.controller:
                target = self.controller.target
                self.arm.step(target if target is not None else None, 0.0)
        arm = self.arm.state()
        matrix = np.eye(4)
        matrix[:3, 3] = arm.ee_pose[:3]
        matrix[:3, :3] = rotation_matrix(arm.ee_pose[3:])
        stale = self.controller and self.error
        return RobotState(
            q=arm.joints.tolist(),
            O_T_EE=matrix.T.ravel().tolist(),
            O_F_ext_hat_K=[0.0] * 6,
            F_T_EE=self.flange_to_tool,
            robot_mode=RobotMode.kMove if stale else self.mode,
            current_errors="[reflex]" if self.mode is RobotMode.kReflex and not stale else "",
            time=Duration(self.milliseconds),
        )


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


class CartesianImpedance:
    def __init__(
        self,
        impedance: Any = None,
        damping_ratio: float = 1.0,
        nullspace_stiffness: float = 0.5,
        filter_coeff: float = 1.0,
    ) -> None:
        assert np.shape(impedance) == (6, 6)
        self.target: np.ndarray | None = None

    def set_control(self, position: Any, orientation: Any, q_nullspace: Any = None) -> None:
        assert np.shape(position) == (3,) and np.shape(orientation) == (4,)
        assert np.shape(q_nullspace) == (7,), "the elbow would swing to panda-py's own posture"
        self.target = np.concatenate([position, orientation])


def make(world: World | None = None) -> Any:
    robot = world or World()

    class Robot:
        def server_version(self) -> int:
            return robot.server_version

    class Panda:
        def __init__(self, hostname: str, name: str = "panda", realtime_config: Any = None) -> None:
            if robot.server_version != 5:
                raise IncompatibleVersionError(robot.server_version, 5)

        def get_robot(self) -> Robot:
            return Robot()

        def get_state(self) -> RobotState:
            if robot.lost:
                raise RuntimeError("libfranka: UDP receive: Timeout")
            return robot.state()

        def start_controller(self, controller: Any) -> None:
            assert robot.mode is RobotMode.kIdle, "panda-py would recover without being asked"
            robot.controller, robot.mode = controller, RobotMode.kMove

        def stop_controller(self) -> None:
            robot.stop_moving.set()
            robot.controller = None
            if robot.mode is RobotMode.kMove:
                robot.mode = RobotMode.kIdle

        def raise_error(self) -> None:
            error, robot.error = robot.error, ""
            if error:
                raise RuntimeError(error)

        def recover(self) -> None:
            if robot.mode is RobotMode.kReflex:
                robot.mode = RobotMode.kIdle

        def move_to_joint_position(
            self,
            positions: Any,
            speed_factor: float = 0.2,
            stiffness: Any = None,
            damping: Any = None,
            dq_threshold: float = 0.001,
            success_threshold: float = 0.01,
        ) -> bool:
            assert speed_factor <= 0.5
            robot.stop_moving.clear()
            if robot.stop_moving.wait(robot.slow_home):
                return False
            robot.arm._q = np.array(positions, dtype=float)
            robot.arm._tool = kinematics.forward(robot.arm._q)
            return True

    class Gripper:
        def __init__(self, franka_address: str) -> None:
            pass

        def read_once(self) -> GripperState:
            time.sleep(0.01)
            return GripperState(robot.width, robot.max_width)

        def move(self, width: float, speed: float) -> bool:
            robot.told_hand.append(("move", width))
            robot.width = width
            return True

        def grasp(
            self,
            width: float,
            speed: float,
            force: float,
            epsilon_inner: float = 0.005,
            epsilon_outer: float = 0.005,
        ) -> bool:
            robot.told_hand.append(("grasp", width, epsilon_outer))
            robot.width = max(width, 0.04)  # an object of 4 cm
            return robot.width < width + epsilon_outer

    return SimpleNamespace(
        Panda=Panda,
        IncompatibleVersionError=IncompatibleVersionError,
        controllers=SimpleNamespace(CartesianImpedance=CartesianImpedance),
        libfranka=SimpleNamespace(
            Gripper=Gripper, RobotMode=RobotMode, Robot=Robot, Duration=Duration
        ),
        robot=robot,
    )
