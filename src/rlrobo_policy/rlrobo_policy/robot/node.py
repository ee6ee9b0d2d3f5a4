"""The robot's topics at the policy node: standard types, to be remapped to a driver's.

camera/image_raw, camera/camera_info (wrist_camera/…)
current_pose, gripper/joint_states, instruction   [policy]   target_pose, gripper_command
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header, String

from rlrobo_core.from_messages import gripper_from_msg, image_from_msg, pose_from_msg, seconds
from rlrobo_core.robot.arm import camera_namespace
from rlrobo_core.ros.channels import QOS_CAMERA, QOS_COMMAND, QOS_LATCHED
from rlrobo_core.ros.messages import gripper_to_msg, pose_to_msg
from rlrobo_core.ros.nodes import RecordNode
from rlrobo_core.types import ActionBatch, ObservationBatch
from rlrobo_policy.remote.client import RemotePolicy
from rlrobo_policy.remote.failures import NoAnswer
from rlrobo_policy.robot.readings import Readings, Stamped

if TYPE_CHECKING:  # it imports torch
    from rlrobo_policy.policy import Policy

EARLY = 0.75
"""Of a period: an image that comes sooner after the last one acted on is passed over."""


class RobotEdge:
    """Answers a robot's newest image with a target, at most `rate_hz` times a second, as long as
    there is an instruction. A target carries the stamp of its image: what is late is late by
    that. Callbacks only store and wake the node; the policy acts in the node's `work`."""

    def __init__(
        self, node: RecordNode, readings: Readings, task: str, rate_hz: float, frame: str
    ) -> None:
        """`task`: whose action space the policy uses; `frame`: of the robot's base."""
        self.node, self.readings, self.task = node, readings, task
        self.period, self.frame = 1.0 / rate_hz, frame
        self._episode, self._step, self._acted_on = 0, 0, -math.inf
        self._instructed_at = 0
        self._images: dict[str, Image] = {}
        self._target = node.create_publisher(PoseStamped, "target_pose", QOS_COMMAND)
        self._gripper = node.create_publisher(JointState, "gripper_command", QOS_COMMAND)
        for camera in readings.cameras:
            where = camera_namespace(camera)
            image, info = partial(self._on_image, camera), partial(self._on_info, camera)
            node.create_subscription(Image, f"{where}/image_raw", image, QOS_CAMERA)
            node.create_subscription(CameraInfo, f"{where}/camera_info", info, QOS_CAMERA)
        node.create_subscription(PoseStamped, "current_pose", self._on_pose, QOS_CAMERA)
        node.create_subscription(JointState, "gripper/joint_states", self._on_gripper, QOS_CAMERA)
        # rclpy tells about the message whoever takes two arguments; its types do not say so.
        on_instruction: Any = self._on_instruction
        node.create_subscription(String, "instruction", on_instruction, QOS_LATCHED)
        node.facts |= {"targets": 0, "waiting_for": "no instruction"}

    def work(self, policy: Policy) -> None:
        """Act on the newest images, if they are news and everything else is there."""
        self._take_images()
        problem = self.readings.problem(self._now())
        self.node.facts["waiting_for"] = problem
        seen_at = self.readings.seen_at()
        if problem or seen_at - self._acted_on < EARLY * self.period:
            return
        began = time.monotonic()
        batch = self.readings.observe(self.task, self._episode, self._step, seed=0)
        observed = time.monotonic()
        try:
            target = self._act(policy, batch, seen_at).target_M[0].tolist()
        except NoAnswer as error:  # the safety node holds the arm until there is one again
            self.node.complain(str(error))
            self._step = 0  # whoever answers next need not know what was said before
            return
        acted = time.monotonic()
        self._publish(target, seen_at)
        self._step, self._acted_on = self._step + 1, seen_at
        beside = observed - began + time.monotonic() - acted
        self.node.facts |= {
            "targets": self.node.facts["targets"] + 1,
            "act_s": f"{acted - observed:.4f}",
            "beside_act_s": f"{beside:.4f}",
        }

    def _act(self, policy: Policy, batch: ObservationBatch, seen_at: float) -> ActionBatch:
        """One that is far away must know how old the images are, to be late by that."""
        if isinstance(policy, RemotePolicy):
            return policy.act(batch, age_s=max(0.0, self._now() - seen_at))
        return policy.act(batch)

    def _publish(self, target: list[float], seen_at: float) -> None:
        header = Header(frame_id=self.frame)
        header.stamp.sec, header.stamp.nanosec = divmod(round(seen_at * 1e9), 10**9)
        self._gripper.publish(gripper_to_msg(target[7], header))
        self._target.publish(PoseStamped(header=header, pose=pose_to_msg(target[:7])))

    def _now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def _take_images(self) -> None:
        """Only the newest of each camera is ever converted."""
        for camera in list(self._images):
            msg = self._images.pop(camera)
            try:
                pixels = image_from_msg(msg, "rgb8")
            except ValueError as error:
                self.node.complain(f"an image of camera {camera!r} was not read: {error}")
                continue
            self.readings.images[camera] = Stamped(pixels, seconds(msg.header.stamp))

    def _on_image(self, camera: str, msg: Image) -> None:
        self._images[camera] = msg
        self.node.wake()

    def _on_info(self, camera: str, msg: CameraInfo) -> None:
        """A policy that was trained at another angle of view sees everything at another size:
        the diagnostics tell what is left of it in the square."""
        if focal := msg.k[4]:
            side = min(msg.height, msg.width)
            angle = math.degrees(2 * math.atan(side / 2 / focal))
            self.node.facts[f"{camera}/angle_of_view"] = f"{angle:.1f} degrees"

    def _on_pose(self, msg: PoseStamped) -> None:
        pose = np.array(pose_from_msg(msg.pose), np.float32)
        if msg.header.frame_id == self.frame:
            self.readings.ee_pose = Stamped(pose, seconds(msg.header.stamp))
        else:
            self.node.complain(
                f"current_pose is in frame {msg.header.frame_id!r}, not in {self.frame!r}: "
                "set base_frame:= to the frame of the robot's base"
            )

    def _on_gripper(self, msg: JointState) -> None:
        width = gripper_from_msg(msg)
        self.readings.gripper_width = Stamped(width, seconds(msg.header.stamp))

    def _on_instruction(self, msg: String, info: Mapping[str, Any]) -> None:
        """A new one begins an episode; an empty one ends it. Several nodes may have latched one
        before this one started, and theirs come in any order: the newest counts."""
        if info["source_timestamp"] < self._instructed_at:
            return
        self._instructed_at = info["source_timestamp"]
        self.readings.instruction = msg.data
        self._episode, self._step = self._episode + 1, 0
        self.node.wake()
