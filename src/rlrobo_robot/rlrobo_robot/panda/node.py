"""The Panda's driver as a ROS node, with the topics of the simulated arms.

    controller/target_pose                  +-------+   current_pose, joint_states, arm_status
    controller/set_active                   | panda | -->  external_wrench
    arm/recover, arm/home (services)        +-------+

The Hand is another process (`panda_hand`), and so are the cameras. Like CRISP it follows nothing
as soon as more than one node publishes targets.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, Vector3, Wrench, WrenchStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from rlrobo_core.from_messages import pose_from_msg
from rlrobo_core.ros.channels import QOS_CAMERA, QOS_COMMAND
from rlrobo_core.ros.messages import pose_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_msgs.msg import ArmStatus  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo_robot.panda.arm import PandaArm, PandaConfig, PandaState
from rlrobo_robot.panda.library import load
from rlrobo_robot.refused import Refused, answered


class PandaArmNode(PlainNode):
    """Reads and homes in the thread that calls `run`, hears in its executor's, so that a motion
    that takes seconds can be stopped."""

    def __init__(self, library: Any = None, **kwargs: Any) -> None:
        super().__init__("panda_arm", **kwargs)
        self.config = declare_parameters(self, PandaConfig)
        self.arm = PandaArm(library or load(), self.config)
        self._rivals = False
        self._asked_home: Future | None = None
        self._pose = self.create_publisher(PoseStamped, "current_pose", QOS_CAMERA)
        self._joints = self.create_publisher(JointState, "joint_states", 10)
        self._status = self.create_publisher(ArmStatus, "arm_status", QOS_CAMERA)
        self._wrench = self.create_publisher(WrenchStamped, "external_wrench", QOS_CAMERA)
        self.create_subscription(
            PoseStamped, "controller/target_pose", self._on_target, QOS_COMMAND
        )
        self.create_service(SetBool, "controller/set_active", self._set_active)
        self.create_service(Trigger, "arm/recover", self._recover)
        # While homing awaits its end everything else is answered.
        meanwhile = ReentrantCallbackGroup()
        self.create_service(Trigger, "arm/home", self._home, callback_group=meanwhile)
        self.create_timer(0.5, self._look_for_rivals)

    def run(self) -> None:
        period, due = 1.0 / self.config.rate_hz, time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + period, time.monotonic())
            if self._asked_home:
                self._go_home(self._asked_home)
            if state := self.arm.read():
                self._tell(state)

    def close(self) -> None:
        self.arm.close()

    def ailment(self) -> str:
        self.facts["active"] = self.arm.active
        if self._rivals:
            return "more than one node publishes targets: none is followed"
        return self.arm.broken or super().ailment()

    def _tell(self, state: PandaState) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.config.frame)
        force, torque = (Vector3(x=x, y=y, z=z) for x, y, z in state.wrench.reshape(2, 3).tolist())
        wrench = Wrench(force=force, torque=torque)
        self._wrench.publish(WrenchStamped(header=header, wrench=wrench))
        self._pose.publish(PoseStamped(header=header, pose=pose_to_msg(state.ee_pose.tolist())))
        self._status.publish(ArmStatus(header=header, mode=state.mode))
        names = [f"{self.config.joint_prefix}joint{i}" for i in range(1, len(state.joints) + 1)]
        self._joints.publish(JointState(header=header, name=names, position=state.joints.tolist()))

    def _on_target(self, msg: PoseStamped) -> None:
        if not self._rivals:
            self.arm.follow(np.array(pose_from_msg(msg.pose)))

    def _set_active(self, request: Any, response: Any) -> Any:
        def act() -> str:
            if request.data:
                self.arm.activate()
            else:
                self.arm.deactivate()
            return "active" if self.arm.active else "inactive"

        return answered(response, act)

    def _recover(self, _request: Any, response: Any) -> Any:
        return answered(response, lambda: f"the arm is in mode {self.arm.recover()!r}")

    async def _home(self, _request: Any, response: Any) -> Any:
        """Answered when the motion is over; other services are answered meanwhile."""
        if self._asked_home:
            return answered(response, _is_homing)
        asked: Any = Future(executor=self.executor)
        self._asked_home = asked
        response.success, response.message = await asked
        return response

    def _go_home(self, asked: Future) -> None:
        try:
            asked.set_result((True, self.arm.home()))
        except Refused as refusal:
            asked.set_result((False, str(refusal)))
        self._asked_home = None

    def _look_for_rivals(self) -> None:
        self._rivals = self.count_publishers("controller/target_pose") > 1


def _is_homing() -> str:
    raise Refused("the arm is on its way home already")


def main() -> None:
    run_and_exit(PandaArmNode)
