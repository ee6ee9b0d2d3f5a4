"""Peers of an arm's driver: an operator who is the policy too, and a faked franka_ros2."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from rlrobo_core.ros.channels import QOS_COMMAND
from rlrobo_core.ros.messages import gripper_to_msg, pose_to_msg
from rlrobo_robot.operate.node import Operator

PATIENCE = 20.0
"""[s]; only a failing test waits so long."""


class Hands(Operator):
    """An operator who also publishes the policy's targets."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pose = self.create_publisher(PoseStamped, "target_pose", QOS_COMMAND)
        self._gripper = self.create_publisher(JointState, "gripper_command", QOS_COMMAND)

    def run(self) -> None:
        self._ended.wait()

    def ask(self, pose: np.ndarray, width: float) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="base")
        self._gripper.publish(gripper_to_msg(width, header))
        self._pose.publish(PoseStamped(header=header, pose=pose_to_msg(pose.tolist())))


def until(holds: Callable[[], Any], meanwhile: Callable[[], Any] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        meanwhile()
        time.sleep(0.05)
