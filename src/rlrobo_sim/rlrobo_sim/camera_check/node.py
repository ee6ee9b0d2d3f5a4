"""The camera check as a ROS node: camera, joint_states --> [camera_check] --> ~/image, a PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from rlrobo_core.from_messages import image_from_msg
from rlrobo_core.panda import NUM_JOINTS
from rlrobo_core.ros.channels import QOS_CAMERA
from rlrobo_core.ros.messages import image_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_sim.camera_check.overlay import overlay
from rlrobo_sim.camera_check.view import (
    CameraCheckConfig,
    SimulatedView,
    read_picture,
    write_picture,
)


class CameraCheckNode(PlainNode):
    """Draws in the thread that calls `run`. The simulated arm stands as `joint_states` says;
    where nobody says, in the neutral posture: home the real one first."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("camera_check", **kwargs)
        self.config = declare_parameters(self, CameraCheckConfig)
        self._image: Image | None = None
        self._joints: NDArray[np.float64] | None = None
        self._drawn = self.create_publisher(Image, "~/image", 1)
        self.create_subscription(JointState, "joint_states", self._on_joints, QOS_CAMERA)
        if not self.config.image:
            self.create_subscription(Image, self.config.topic, self._on_image, QOS_CAMERA)

    def run(self) -> None:
        view = SimulatedView(self.config)
        try:
            if self.config.image:
                self._draw(read_picture(self.config.image), view, Header())
                return
            while not self._ended.wait(1.0 / self.config.rate_hz):
                msg, self._image = self._image, None
                if msg is None:
                    self.facts["waiting_for"] = f"an image on {self.config.topic}"
                else:
                    self.facts["waiting_for"] = ""
                    self._draw(image_from_msg(msg, "rgb8"), view, msg.header)
        finally:
            view.close()

    def _draw(self, live: NDArray[np.uint8], view: SimulatedView, header: Header) -> None:
        pixels = overlay(live, view.render(self._joints))
        write_picture(self.config.out, pixels)
        self._drawn.publish(image_to_msg(pixels, "rgb8", header))
        if "written" not in self.facts:
            self.get_logger().info(f"wrote {self.config.out}: outlines, mean, simulated")
        self.facts["written"] = self.config.out

    def _on_image(self, msg: Image) -> None:
        self._image = msg

    def _on_joints(self, msg: JointState) -> None:
        """Of whatever arm: panda_joint1, fr3_joint1, …"""
        angle = {
            name.rpartition("_")[2]: it for name, it in zip(msg.name, msg.position, strict=False)
        }
        names = [f"joint{i}" for i in range(1, NUM_JOINTS + 1)]
        if all(name in angle for name in names):
            self._joints = np.array([angle[name] for name in names])


def main() -> None:
    run_and_exit(CameraCheckNode)
