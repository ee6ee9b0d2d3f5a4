"""The Hand's driver as a ROS node.

controller/gripper_command --> [panda_hand] --> gripper/joint_states
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from rlrobo_core.from_messages import gripper_from_msg
from rlrobo_core.ros.channels import QOS_COMMAND
from rlrobo_core.ros.messages import gripper_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_robot.hand import HandWish
from rlrobo_robot.panda.library import load
from rlrobo_robot.panda_hand.hand import PandaHand, PandaHandConfig

PERIOD = 0.05
"""[s] between two looks at what is wanted."""


class PandaHandNode(PlainNode):
    """Reads in the thread that calls `run`, obeys in another: a command takes a second."""

    def __init__(self, library: Any = None, **kwargs: Any) -> None:
        super().__init__("panda_hand", **kwargs)
        self.config = declare_parameters(self, PandaHandConfig)
        self.hand = PandaHand(library or load(), self.config)
        self._wish = HandWish(self.config)
        self._width: float | None = None
        self._fingers = self.create_publisher(JointState, "gripper/joint_states", 10)
        self.create_subscription(
            JointState, "controller/gripper_command", self._on_command, QOS_COMMAND
        )

    def run(self) -> None:
        obeying = threading.Thread(target=self._obey, daemon=True)
        obeying.start()
        while not self._ended.wait(1.0 / self.config.rate_hz):
            try:
                self._width = self.hand.width()
            except RuntimeError as error:
                self.complain(f"the hand was not heard: {error}")
                continue
            stamp = self.get_clock().now().to_msg()
            header = Header(stamp=stamp, frame_id=self.config.frame)
            self._fingers.publish(gripper_to_msg(self._width, header))

    def _obey(self) -> None:
        while not self._ended.wait(PERIOD):
            if command := self._wish.take(self._width, time.monotonic()):
                try:
                    done = self.hand.obey(command)
                except RuntimeError as error:
                    self.complain(f"the hand did not obey: {error}")
                else:
                    self.facts |= {"told": str(command), "done": done}

    def _on_command(self, msg: JointState) -> None:
        if math.isfinite(width := gripper_from_msg(msg)):
            self._wish.want(width)


def main() -> None:
    run_and_exit(PandaHandNode)
