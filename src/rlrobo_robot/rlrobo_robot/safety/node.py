"""The safety machine as a ROS node, the only publisher to the controller.

    target_pose, gripper_command             controller/target_pose, gripper_command
    current_pose, arm_status       [safety]  controller/set_active (service of the driver)
    external_wrench, joy, heartbeat          safety/state, /diagnostics

A callback here converts, asks the machine, publishes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Empty, Header, String
from std_srvs.srv import SetBool, Trigger

from rlrobo_core.from_messages import gripper_from_msg, pose_from_msg, seconds
from rlrobo_core.ros.channels import QOS_CAMERA, QOS_COMMAND, QOS_LATCHED
from rlrobo_core.ros.messages import gripper_to_msg, pose_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_msgs.msg import ArmStatus  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.machine import ACTIVE, SafetyMachine, State
from rlrobo_robot.safety.priority import claim_priority
from rlrobo_robot.safety.targets import StampedPose

PATIENCE = 3.0
"""[s] that the driver may take to activate its controller."""
JITTER_OVER = 200.0
"""[s], the last ones, that the diagnostics tell the clock's jitter of."""


class SafetyNode(PlainNode):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("safety", **kwargs)
        config = declare_parameters(self, SafetyConfig)
        self.machine = SafetyMachine(config)
        self._told: State | None = None
        self._arming = False
        self._intervals: deque[float] = deque(maxlen=round(JITTER_OVER * config.rate_hz))
        self._ticked = time.monotonic()
        self._pose = self.create_publisher(PoseStamped, "controller/target_pose", QOS_COMMAND)
        self._gripper = self.create_publisher(JointState, "controller/gripper_command", QOS_COMMAND)
        self._state = self.create_publisher(String, "~/state", QOS_LATCHED)
        # While arming awaits the driver's answer everything else goes on: the answer, and ticks.
        self._meanwhile = ReentrantCallbackGroup()
        self._set_active = self.create_client(
            SetBool, "controller/set_active", callback_group=self._meanwhile
        )
        hear = self.create_subscription
        hear(PoseStamped, "target_pose", self._on_target, QOS_COMMAND)
        hear(JointState, "gripper_command", self._on_gripper, QOS_COMMAND)
        hear(PoseStamped, "current_pose", self._on_pose, QOS_CAMERA)
        hear(ArmStatus, "arm_status", self._on_status, QOS_CAMERA)
        hear(WrenchStamped, "external_wrench", self._on_wrench, QOS_CAMERA)
        hear(Joy, "joy", self._on_joy, QOS_COMMAND)
        hear(Empty, "heartbeat", self._on_heartbeat, QOS_COMMAND)
        self.create_service(Trigger, "~/arm", self._arm, callback_group=self._meanwhile)
        self.create_service(Trigger, "~/disarm", self._serve(self._disarm))
        self.create_service(Trigger, "~/stop", self._serve(self._stop))
        self.create_service(Trigger, "~/reset", self._serve(self._reset))
        # A steady clock: the wall clock may be set while the arm moves.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / config.rate_hz, self._tick, clock=steady)
        self._publish_state()

    def ailment(self) -> str:
        machine = self.machine
        for what, count in machine.rejected.items():
            self.facts[f"rejected/{what}"] = count
        self.facts |= {
            "state": machine.state,
            "reason": machine.reason,
            "accepted": machine.accepted,
        }
        if self._intervals:
            off = np.abs(np.array(self._intervals) - 1.0 / machine.config.rate_hz)
            self.facts["jitter_ms_p99"] = f"{1e3 * np.percentile(off, 99):.2f}"
        if machine.state is State.FAULT:
            return machine.reason
        return super().ailment()

    def close(self) -> None:
        """The controller is not left active behind an arm that nobody watches."""
        if self.machine.state in ACTIVE:
            self._set_active.call_async(SetBool.Request(data=False))
            time.sleep(0.1)  # nobody waits for the answer any more, but the request must leave

    # What is heard

    def _on_target(self, msg: PoseStamped) -> None:
        why = self.machine.see_target(self._stamped(msg), time.monotonic())
        if why:
            self.get_logger().warning(f"target refused: {why}", throttle_duration_sec=1.0)
        self._publish_state()

    def _on_gripper(self, msg: JointState) -> None:
        stamp = self._when(msg.header)
        width = self.machine.see_gripper(gripper_from_msg(msg), stamp, time.monotonic())
        if width is not None:
            self._gripper.publish(gripper_to_msg(width, self._header()))

    def _on_pose(self, msg: PoseStamped) -> None:
        self.machine.see_pose(self._stamped(msg), time.monotonic())

    def _on_status(self, msg: ArmStatus) -> None:
        self.machine.see_mode(msg.mode, self._when(msg.header), time.monotonic())

    def _on_wrench(self, msg: WrenchStamped) -> None:
        force, torque = msg.wrench.force, msg.wrench.torque
        self.machine.see_wrench(
            np.array([force.x, force.y, force.z]), np.array([torque.x, torque.y, torque.z])
        )

    def _on_joy(self, msg: Joy) -> None:
        if self.machine.config.deadman == "joy":
            button = self.machine.config.deadman_button
            held = button < len(msg.buttons) and msg.buttons[button] == 1
            self.machine.see_deadman(held, time.monotonic())

    def _on_heartbeat(self, _msg: Empty) -> None:
        if self.machine.config.deadman == "heartbeat":
            self.machine.see_deadman(True, time.monotonic())

    def _tick(self) -> None:
        now = time.monotonic()
        self._intervals.append(now - self._ticked)
        self._ticked = now
        pose = self.machine.tick(now)
        if pose is not None:
            self._pose.publish(PoseStamped(header=self._header(), pose=pose_to_msg(pose.tolist())))
        self._publish_state()

    # What the operator asks for

    async def _arm(self, _request: Any, response: Any) -> Any:
        """The driver activates its controller, then the machine may tell it something."""
        try:
            self.machine.check_ready(time.monotonic())
            self._arming = True
            answer = await self._activate()
            if not answer.success:
                raise Refused(f"the controller was not activated: {answer.message}")
            if not self._arming:
                raise Refused("it was disarmed or stopped in the meantime")
            self.machine.arm(time.monotonic())
        except Refused as refusal:
            self._deactivate()
            return self._answer(response, False, str(refusal))
        return self._answer(response, True, "armed: it holds until the first target comes")

    def _disarm(self) -> str:
        self._arming = False
        self.machine.disarm()
        return f"{self.machine.state}: {self.machine.reason}"

    def _stop(self) -> str:
        self._arming = False
        self.machine.stop()
        if (
            self._told not in ACTIVE
        ):  # it may be on its way home, of which the machine knows nothing
            self._deactivate()
        return "stopped; call reset, then arm, to go on"

    def _reset(self) -> str:
        self.machine.reset(time.monotonic())
        return f"{self.machine.state}: call arm to go on"

    def _serve(self, act: Callable[[], str]) -> Callable[[Any, Any], Any]:
        def answer(_request: Any, response: Any) -> Any:
            try:
                return self._answer(response, True, act())
            except Refused as refusal:
                return self._answer(response, False, str(refusal))

        return answer

    def _answer(self, response: Any, success: bool, message: str) -> Any:
        self._publish_state()
        response.success, response.message = success, message
        return response

    # The controller

    async def _activate(self) -> Any:
        if not self._set_active.service_is_ready():
            raise Refused(
                f"nobody serves {self._set_active.srv_name}; start the arm's driver (robot:=…)"
            )
        future = self._set_active.call_async(SetBool.Request(data=True))

        def give_up() -> None:
            if not future.done():
                silence = f"no answer for {PATIENCE:g} s"
                future.set_result(SetBool.Response(success=False, message=silence))

        guard = self.create_timer(PATIENCE, give_up, callback_group=self._meanwhile)
        try:
            return await future
        finally:
            self.destroy_timer(guard)

    def _deactivate(self) -> None:
        def check(future: Any) -> None:
            if not future.result().success:
                self.complain(f"the controller stayed active: {future.result().message}")

        if self._set_active.service_is_ready():
            self._set_active.call_async(SetBool.Request(data=False)).add_done_callback(check)
        else:
            self.complain(f"nobody serves {self._set_active.srv_name}: use the hardware stop")

    def _publish_state(self) -> None:
        """What has become of the machine, if it is news; the controller follows it."""
        state = self.machine.state
        if self._told in ACTIVE and state not in ACTIVE:
            self._deactivate()
        if state is not self._told:
            self._state.publish(String(data=state))
            # rclpy's loggers refuse two severities from one line
            if state is State.FAULT:
                self.get_logger().error(f"{state}: {self.machine.reason}")
            else:
                self.get_logger().info(f"{state}: {self.machine.reason}")
        self._told = state

    # Messages and their time

    def _header(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=self.machine.config.frame)

    def _when(self, header: Header) -> float:
        """The stamp on the machine's clock."""
        age = self.get_clock().now().nanoseconds * 1e-9 - seconds(header.stamp)
        return time.monotonic() - age

    def _stamped(self, msg: PoseStamped) -> StampedPose:
        pose = np.array(pose_from_msg(msg.pose))
        return StampedPose(pose, self._when(msg.header), msg.header.frame_id)


def main() -> None:
    scheduling = claim_priority()

    def make() -> SafetyNode:
        node = SafetyNode()
        node.facts["scheduling"] = scheduling
        if scheduling == "ordinary":
            node.get_logger().warning(
                "no real-time priority: a busy machine makes this node late; allow it with a line "
                "'@realtime - rtprio 99' in /etc/security/limits.conf and your user in that group"
            )
        return node

    run_and_exit(make)
