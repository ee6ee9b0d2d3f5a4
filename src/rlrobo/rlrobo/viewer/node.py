"""Shows what a graph does: it only listens, to a training's topics and to a robot's, and publishes
what there is to see as standard messages (`messages.PUBLISHED`), or logs it to rerun.

    observations, actions                     robot_description, tf, joint_states,
    current_pose, joint_states, camera …  [view]  viewer/image, viewer/markers

At most `rate_hz` times a second, best effort: nobody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header, String

from rlrobo.bags.qos import message_class
from rlrobo.viewer import messages
from rlrobo.viewer.curves import curves
from rlrobo.viewer.description import description
from rlrobo.viewer.rerun_log import RerunLog
from rlrobo.viewer.robot import RobotWatch
from rlrobo.viewer.sight import Box, Sight, Watch
from rlrobo.viewer.training import TrainingWatch
from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_core.ros.messages import BASE_FRAME
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit

QOS_LOOKING_ON = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
SAFETY_NODE = "safety"


@dataclass(frozen=True)
class ViewConfig:
    """The node's parameters."""

    viewer: Literal["none", "rviz", "foxglove", "rerun"] = "none"
    """rerun: log to rerun; any other: publish standard messages, for whoever shows them."""
    viewer_file: str = ""
    """Of rerun: write this file (.rrd) instead of opening a window."""
    joint_prefix: str = "panda_"
    """Before the names of joints and links: panda_, fer_, fr3_."""
    describe: bool = True
    """Publish robot_description and the links' transforms; false where the robot's driver does."""
    gamma: str = "auto"
    """Discount of the returns that a branch's advantages are of, as the trainer's; auto: 0.5."""
    rate_hz: float = field(default=10.0, metadata={"range": (0.1, 60.0)})
    """At most so many pictures a second [Hz]."""


class ViewNode(PlainNode):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("view", **kwargs)
        self.config = config = declare_parameters(self, ViewConfig)
        self._robot = RobotWatch()
        training = TrainingWatch() if config.gamma == "auto" else TrainingWatch(float(config.gamma))
        self._watches: tuple[Watch, ...] = (training, self._robot)
        self._news: set[Watch] = set()
        self.facts["shown"] = 0
        self._draw: Callable[[Sight], None]
        self._log: RerunLog | None = None
        if config.viewer == "rerun":
            self._log = RerunLog.open(config.viewer_file)
            print(self._log.where, flush=True)
            self._draw = partial(self._log_sight, self._log)
            self.create_subscription(
                DiagnosticArray, "/diagnostics", self._on_diagnostics, QOS_LOOKING_ON
            )
        else:
            self._offer()
            self._draw = self._publish_sight
        for watch in self._watches:
            for topic, heard in watch.TOPICS.items():
                self.create_subscription(
                    message_class(heard.msgtype),
                    topic,
                    partial(self._see, watch, topic),
                    QOS_LATCHED if heard.latched else QOS_LOOKING_ON,
                )
        self.create_timer(1.0 / config.rate_hz, self._show)
        self._limits = AsyncParameterClient(self, SAFETY_NODE)
        self._asking = self.create_timer(1.0, self._ask_for_workspace)

    def close(self) -> None:
        if self._log:
            self._log.close()

    # ------------------------------------------------------------------ what is heard

    def _see(self, watch: Watch, topic: str, msg: Any) -> None:
        try:
            if watch.see(topic, msg):
                self._news.add(watch)
        except ValueError as error:
            self.complain(f"a message of {topic} is left out: {error}")

    def _ask_for_workspace(self) -> None:
        """The safety node's box: among its parameters, once it is there."""
        if self._limits.services_are_ready():
            self._asking.cancel()
            future = self._limits.get_parameters(["box_low", "box_high"])
            future.add_done_callback(self._take_workspace)

    def _take_workspace(self, future: Any) -> None:
        low, high = (np.array(it.double_array_value) for it in future.result().values)
        if len(low) == len(high) == 3:
            self._robot.workspace = Box(low, high)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        if self._log:
            self._log.curves(curves(msg), time.time())

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        news, self._news = self._news, set()
        for watch in news:
            if sight := watch.sight():
                self._draw(sight)
                self.facts["shown"] += 1

    def _log_sight(self, log: RerunLog, sight: Sight) -> None:
        log.show(sight, time.time())

    def _offer(self) -> None:
        def publisher(topic: str, depth: int = 5) -> Any:
            return self.create_publisher(message_class(messages.PUBLISHED[topic]), topic, depth)

        self._markers, self._image = publisher("viewer/markers"), publisher("viewer/image")
        self._joint_states = publisher("joint_states")
        if self.config.describe:
            self._tf = publisher("tf", 100)
            self._description = self.create_publisher(String, "robot_description", QOS_LATCHED)
            self._description.publish(String(data=description(self.config.joint_prefix)))

    def _publish_sight(self, sight: Sight) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=BASE_FRAME)
        prefix = self.config.joint_prefix
        if self.config.describe:
            self._tf.publish(messages.transforms(sight, prefix, header))
        if sight.solved:
            self._joint_states.publish(messages.joint_states(sight, prefix, header))
        if image := messages.image(sight, header):
            self._image.publish(image)
        self._markers.publish(messages.markers(sight, header))


def main() -> None:
    run_and_exit(ViewNode)


if __name__ == "__main__":
    main()
