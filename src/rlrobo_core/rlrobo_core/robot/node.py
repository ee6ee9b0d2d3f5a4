"""A simulated arm as a ROS node with the topics of a real one: what the safety node and the
policy see of a robot.

    controller/target_pose         +-----+   current_pose, joint_states, arm_status
    controller/gripper_command --> | arm | --> gripper/joint_states, success
    arm/inject, arm/restart        +-----+   camera/image_raw, camera/camera_info (wrist_camera/…)
    controller/set_active, arm/recover

Like a Cartesian impedance controller on a real arm (CRISP) it goes nowhere while it is inactive,
and drops targets as soon as more than one node publishes them.
"""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import SetBool, Trigger

from rlrobo_core.from_messages import gripper_from_msg, pose_from_msg
from rlrobo_core.robot import MOVABLE
from rlrobo_core.robot.arm import INJECTIONS, Arm, ArmConfig, camera_namespace
from rlrobo_core.ros.channels import QOS_CAMERA, QOS_COMMAND, QOS_LATCHED
from rlrobo_core.ros.messages import camera_info, gripper_to_msg, image_to_msg, pose_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_msgs.msg import ArmStatus  # pyright: ignore[reportAttributeAccessIssue]

Config = TypeVar("Config", bound=ArmConfig)


class ArmNode(PlainNode, Generic[Config]):
    """Moves in the thread that calls `run`, hears in its executor's. A subclass makes the arm in
    `make_arm`, called in that thread too, since a camera's context belongs to one thread."""

    def __init__(self, name: str, parameters: type[Config], **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.config = config = declare_parameters(self, parameters)
        self.active = False
        self.wrong: set[str] = set()
        """What was injected."""
        self._target: NDArray[np.float64] | None = None
        self._width: float | None = None
        self._restart = False
        self._rivals = False
        self._frozen: Header | None = None
        hear = self.create_subscription
        hear(PoseStamped, "controller/target_pose", self._on_target, QOS_COMMAND)
        hear(JointState, "controller/gripper_command", self._on_gripper, QOS_COMMAND)
        hear(String, "arm/inject", self._on_inject, QOS_COMMAND)
        self.create_service(SetBool, "controller/set_active", self._set_active)
        self.create_service(Trigger, "arm/recover", self._recover)
        self.create_service(Trigger, "arm/restart", self._ask_restart)
        self._pose = self.create_publisher(PoseStamped, "current_pose", QOS_CAMERA)
        self._joints = self.create_publisher(JointState, "joint_states", 10)
        self._fingers = self.create_publisher(JointState, "gripper/joint_states", 10)
        self._status = self.create_publisher(ArmStatus, "arm_status", QOS_CAMERA)
        self._success = self.create_publisher(Bool, "success", 10)
        self._instruction = self.create_publisher(String, "arm/instruction", QOS_LATCHED)
        self._cameras = [
            (
                self.create_publisher(Image, f"{camera_namespace(it)}/image_raw", QOS_CAMERA),
                self.create_publisher(
                    CameraInfo, f"{camera_namespace(it)}/camera_info", QOS_CAMERA
                ),
                f"{camera_namespace(it)}_optical_frame",
            )
            for it in config.cameras
        ]
        self.create_timer(0.5, self._look_for_rivals)

    def make_arm(self) -> Arm:
        raise NotImplementedError

    def run(self) -> None:
        arm = self.make_arm()
        try:
            self._run(arm)
        finally:
            arm.close()

    def ailment(self) -> str:
        self.facts |= {"active": self.active, "injected": ", ".join(sorted(self.wrong))}
        if self._rivals:
            return "more than one node publishes targets: none is followed"
        return super().ailment()

    def _run(self, arm: Arm) -> None:
        period, camera_period = 1.0 / self.config.rate_hz, 1.0 / self.config.camera_hz
        due = image_due = time.monotonic()
        self._instruction.publish(String(data=arm.restart()))
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            # A step that is late is not made up for: a burst of steps is no motion of an arm.
            due = max(due + period, time.monotonic())
            if self._restart:
                self._restart, self._target, self._width = False, None, None
                self._instruction.publish(String(data=arm.restart()))
            moves = self.active and not self._rivals and self.mode in MOVABLE
            state = arm.state()
            width = state.gripper_width if self._width is None else self._width
            arm.step(self._target if moves else None, width)
            self._tell(arm)
            if time.monotonic() >= image_due:
                image_due = max(image_due + camera_period, time.monotonic())
                self._show(arm)

    @property
    def mode(self) -> str:
        for injected, mode in (("user_stop", "user_stopped"), ("reflex", "reflex")):
            if injected in self.wrong:
                return mode
        return "move" if self.active else "idle"

    def _tell(self, arm: Arm) -> None:
        state, header = arm.state(), self._header(self.config.frame)
        if state.success is not None:
            self._success.publish(Bool(data=state.success))
        if "lost_gripper" not in self.wrong:
            self._fingers.publish(gripper_to_msg(state.gripper_width, header))
        if "stale_state" in self.wrong:
            return
        self._pose.publish(PoseStamped(header=header, pose=pose_to_msg(state.ee_pose.tolist())))
        self._status.publish(ArmStatus(header=header, mode=self.mode))
        names = [f"{self.config.joint_prefix}joint{i}" for i in range(1, len(state.joints) + 1)]
        self._joints.publish(JointState(header=header, name=names, position=state.joints.tolist()))

    def _show(self, arm: Arm) -> None:
        """The images, or, where the camera is frozen, the last one's stamp again and again."""
        frozen = "frozen_camera" in self.wrong
        stamped = self._frozen if frozen and self._frozen else self._header("")
        self._frozen = stamped
        for pixels, fovy, (image, info, frame) in zip(
            arm.render(), arm.fovy_C, self._cameras, strict=True
        ):
            header = Header(stamp=stamped.stamp, frame_id=frame)
            image.publish(image_to_msg(pixels, "rgb8", header))
            height, width = pixels.shape[:2]
            info.publish(camera_info(height, width, fovy, header))

    def _on_target(self, msg: PoseStamped) -> None:
        self._target = np.array(pose_from_msg(msg.pose))

    def _on_gripper(self, msg: JointState) -> None:
        self._width = gripper_from_msg(msg)

    def _on_inject(self, msg: String) -> None:
        if msg.data not in INJECTIONS:
            self.complain(f"cannot inject {msg.data!r}; choose one of: {', '.join(INJECTIONS)}")
        elif msg.data == "none":
            self.wrong.clear()
        else:
            self.wrong.add(msg.data)

    def _set_active(self, request: Any, response: Any) -> Any:
        if request.data and self.mode not in MOVABLE:
            response.success, response.message = False, f"the arm is in mode {self.mode!r}"
            return response
        self.active = request.data
        self._target = None  # an old one must not be followed when it is active again
        response.success, response.message = True, "active" if self.active else "inactive"
        return response

    def _recover(self, _request: Any, response: Any) -> Any:
        """From a reflex, as Franka's error recovery does; not from a pressed user stop."""
        self.wrong.discard("reflex")
        response.success = self.mode in MOVABLE
        response.message = f"the arm is in mode {self.mode!r}"
        return response

    def _ask_restart(self, _request: Any, response: Any) -> Any:
        if self.active:
            response.success, response.message = False, "the arm is active: call disarm first"
        else:
            self._restart = response.success = True
        return response

    def _look_for_rivals(self) -> None:
        self._rivals = self.count_publishers("controller/target_pose") > 1

    def _header(self, frame: str) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=frame)
