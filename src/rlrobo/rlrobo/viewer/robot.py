"""Follows one arm by the standard topics of a robot's graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo.viewer.sight import Array, Box, Heard, Sight
from rlrobo_core import panda
from rlrobo_core.from_messages import gripper_from_msg, image_from_msg, pose_from_msg

STRIDE, TRAIL = 0.002, 1000
"""The trail has a place every so many metres, and at most so many."""


class RobotWatch:
    """See `Watch`."""

    TOPICS: Mapping[str, Heard] = {
        "current_pose": Heard("geometry_msgs/msg/PoseStamped"),
        "joint_states": Heard("sensor_msgs/msg/JointState"),
        "gripper/joint_states": Heard("sensor_msgs/msg/JointState"),
        "target_pose": Heard("geometry_msgs/msg/PoseStamped"),
        "camera/image_raw": Heard("sensor_msgs/msg/Image"),
        "instruction": Heard("std_msgs/msg/String", latched=True),
        "safety/state": Heard("std_msgs/msg/String", latched=True),
    }

    def __init__(self) -> None:
        self.workspace: Box | None = None
        self._last: dict[str, Any] = {}
        self._trail: list[Array] = []
        self._image: NDArray[np.uint8] | None = None
        self._solved = panda.NEUTRAL

    def see(self, topic: str, msg: Any) -> bool:
        self._last[topic] = msg
        if topic == "camera/image_raw":
            self._image = image_from_msg(msg, "rgb8")
        if topic == "current_pose":
            self._follow(np.array(pose_from_msg(msg.pose))[:3])
        return "current_pose" in self._last

    def sight(self) -> Sight | None:
        if "current_pose" not in self._last:
            return None
        tool, joints = self._pose("current_pose"), self._joints()
        assert tool is not None
        if joints is None:
            self._solved = panda.inverse(tool, self._solved)
        state, instruction = self._words("safety/state"), self._words("instruction")
        gripper = self._last.get("gripper/joint_states")
        return Sight(
            tool=tool,
            joints=self._solved if joints is None else joints,
            solved=joints is None,
            gripper_width=gripper_from_msg(gripper) if gripper else 0.0,
            trail_L=np.array(self._trail),
            text="\n".join(filter(None, (state, instruction))),
            target=self._pose("target_pose"),
            image=self._image,
            workspace=self.workspace,
            state=state,
        )

    def _follow(self, place: Array) -> None:
        if not self._trail or np.linalg.norm(place - self._trail[-1]) >= STRIDE:
            self._trail = [*self._trail[1 - TRAIL :], place]

    def _pose(self, topic: str) -> Array | None:
        return np.array(pose_from_msg(self._last[topic].pose)) if topic in self._last else None

    def _words(self, topic: str) -> str:
        return self._last[topic].data if topic in self._last else ""

    def _joints(self) -> Array | None:
        """f64[7] of the joints that are called …joint1 to …joint7, whatever stands before."""
        if "joint_states" not in self._last:
            return None
        msg = self._last["joint_states"]
        found = {
            int(name[-1]): angle
            for name, angle in zip(msg.name, msg.position, strict=False)
            if re.search(r"(?<!finger_)joint[1-7]$", name)
        }
        return np.array([found[i] for i in sorted(found)]) if len(found) == 7 else None
