"""MoveIt Servo's bridge as a ROS node: the FR3's, and

controller/target_pose --> [servo_bridge] --> servo_node/pose_target_cmds
                                              servo_node/{switch_command_type, pause_servo}
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
from moveit_msgs.srv import ServoCommandType
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from rlrobo_core.ros.channels import QOS_COMMAND
from rlrobo_core.ros.running import run_and_exit
from rlrobo_robot.fr3.node import WAY_HOME, Fr3BridgeNode, FrankaServices
from rlrobo_robot.refused import Refused
from rlrobo_robot.servo.bridge import ServoBridge, ServoConfig, has_moveit, move_by_moveit


class ServoServices(FrankaServices):
    """See `rlrobo_robot.servo.bridge.Servo`."""

    def __init__(self, node: ServoBridgeNode) -> None:
        super().__init__(node)
        self._config = node.config
        group = node.meanwhile
        self._type = node.create_client(
            ServoCommandType, "servo_node/switch_command_type", callback_group=group
        )
        self._pause = node.create_client(SetBool, "servo_node/pause_servo", callback_group=group)

    async def follow_poses(self) -> None:
        request = ServoCommandType.Request(command_type=ServoCommandType.Request.POSE)
        if not (await self._node.ask(self._type, request)).success:
            raise Refused("MoveIt Servo does not take poses: see its log")

    async def pause(self, paused: bool) -> None:
        answer = await self._node.ask(self._pause, SetBool.Request(data=paused))
        if not answer.success:
            raise Refused(f"MoveIt Servo did not {'pause' if paused else 'go on'}: see its log")

    async def move_joints(
        self, joints: Sequence[float], speeds: Sequence[float], tolerance: float
    ) -> None:
        """By MoveIt, around obstacles, where it is there; else straight."""
        if not (self._config.moveit_params and has_moveit()):
            return await super().move_joints(joints, speeds, tolerance)
        await self.switch([self._config.controller], [])
        try:
            problem = await self._node.within(self._in_a_thread(joints), WAY_HOME, "moveit_py")
        finally:
            await self.switch([], [self._config.controller])
        if problem:
            raise Refused(problem)

    def _in_a_thread(self, joints: Sequence[float]) -> Future:
        """What went wrong, or "": the executor goes on meanwhile."""
        future = Future(executor=self._node.executor)

        def go() -> None:
            try:
                move_by_moveit(self._config.moveit_params, joints)
                future.set_result("")
            except Refused as refusal:
                future.set_result(str(refusal))
            except Exception as error:  # whatever MoveIt raises is the operator's to read
                future.set_result(f"moveit_py failed: {error}")

        threading.Thread(target=go, daemon=True).start()
        return future


class ServoBridgeNode(Fr3BridgeNode):
    NAME, CONFIG = "servo_bridge", ServoConfig

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._servo = self.create_publisher(PoseStamped, "servo_node/pose_target_cmds", QOS_COMMAND)
        self.create_subscription(
            PoseStamped, "controller/target_pose", self._on_target, QOS_COMMAND
        )

    def make_bridge(self) -> ServoBridge:
        self._franka = ServoServices(self)
        return ServoBridge(self._franka, self._franka, self.config)

    def _on_target(self, msg: PoseStamped) -> None:
        """Stamped anew: Servo halts 0.1 s after the last stamp, and looks the frame up."""
        frame: str = self.config.planning_frame
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=frame)
        if self.bridge.active:
            self._servo.publish(PoseStamped(header=header, pose=msg.pose))


def main() -> None:
    run_and_exit(ServoBridgeNode)
