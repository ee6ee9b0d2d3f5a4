"""What MoveIt is asked for and in which order, without ROS."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rlrobo_robot.fr3.bridge import Bridge, Fr3Config, Franka
from rlrobo_robot.refused import Refused

GROUP = "fr3_arm"
"""Planning group of franka_description 2.8.0; with Franka's Hand its tip is fr3_hand_tcp."""


@dataclass(frozen=True)
class ServoConfig(Fr3Config):
    """Parameters of the bridge."""

    controller: str = "fr3_arm_controller"
    """Name of the joint trajectory controller that Servo speaks to."""
    planning_frame: str = "fr3_link0"
    """MoveIt's name of the frame of the robot's base."""
    moveit_params: str = ""
    """File with MoveIt's parameters (robot description, planners) for moveit_py, which then plans
    the way home around obstacles. Empty: home goes straight, by ptp_motion."""


class Servo(Protocol):
    """What MoveIt Servo serves. Each raises `Refused` where it does not succeed."""

    async def follow_poses(self) -> None:
        """Switch to commands of type POSE."""
        ...

    async def pause(self, paused: bool) -> None: ...


class ServoBridge(Bridge):
    def __init__(self, franka: Franka, servo: Servo, config: ServoConfig) -> None:
        super().__init__(franka, config)
        self._servo = servo

    async def activate(self) -> None:
        """Servo last: it commands as soon as it is not paused."""
        if not self.active:
            self._check_rest()
            await self._servo.pause(True)
            await self._servo.follow_poses()
            await super().activate()
            await self._servo.pause(False)

    async def deactivate(self) -> None:
        """The controller is ended even where Servo does not answer."""
        try:
            await self._servo.pause(True)
        finally:
            await super().deactivate()


def has_moveit() -> bool:
    return importlib.util.find_spec("moveit") is not None


def move_by_moveit(params: str, joints: Sequence[float], planning: Any = None) -> None:
    """Plan to the joints f64[7] around what the planning scene holds, and go; returns when it is
    there. `Refused` where there is no way. `planning`: moveit_py's module, imported only here."""
    planning = planning or importlib.import_module("moveit.planning")
    robot = planning.MoveItPy(node_name="rlrobo_home", launch_params_filepaths=[params])
    try:
        arm = robot.get_planning_component(GROUP)
        arm.set_start_state_to_current_state()
        goal = importlib.import_module("moveit.core.robot_state").RobotState(
            robot.get_robot_model()
        )
        goal.set_joint_group_positions(GROUP, np.array(joints))
        goal.update()
        arm.set_goal_state(robot_state=goal)
        plan = arm.plan()
        if not plan:
            raise Refused("MoveIt finds no way home around the obstacles: guide the arm by hand")
        if not robot.execute(plan.trajectory, controllers=[]):
            raise Refused("MoveIt did not come to the end of the way home: see its log")
    finally:
        robot.shutdown()
