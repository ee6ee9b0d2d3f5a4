"""The FR3's bridge as a ROS node, between rlrobo's topics and franka_ros2 3.4.0.

franka_robot_state_broadcaster/robot_state    +------------+   current_pose, arm_status
franka_gripper/joint_states                   | fr3_bridge | -->  external_wrench
controller/gripper_command                    |            |   gripper/joint_states
controller/set_active, arm/recover, arm/home  +------------+   actions of arm and gripper
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from builtin_interfaces.msg import Duration
from controller_manager_msgs.srv import SetHardwareComponentState, SwitchController
from franka_msgs.action import ErrorRecovery, Grasp, Move, PTPMotion
from franka_msgs.msg import FrankaRobotState, GraspEpsilon
from geometry_msgs.msg import PoseStamped, WrenchStamped
from lifecycle_msgs.msg import State
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from rlrobo_core.from_messages import gripper_from_msg
from rlrobo_core.ros.channels import QOS_CAMERA, QOS_COMMAND
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_msgs.msg import ArmStatus  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo_robot.fr3.bridge import MODE_OF, Bridge, Fr3Config
from rlrobo_robot.hand import EPSILON, HandCommand, HandWish
from rlrobo_robot.refused import Refused

PATIENCE = 2.5
"""[s] for an answer; the safety node waits 3 s for the controller."""
WAY_HOME = 100.0
"""[s]"""
PERIOD = 0.05
"""[s] between two looks at what is wanted of the hand."""


class FrankaServices:
    """See `rlrobo_robot.fr3.bridge.Franka`."""

    def __init__(self, node: Fr3BridgeNode) -> None:
        self._node = node
        group = node.meanwhile
        self._switch = node.create_client(
            SwitchController, "controller_manager/switch_controller", callback_group=group
        )
        self._hardware = node.create_client(
            SetHardwareComponentState,
            "controller_manager/set_hardware_component_state",
            callback_group=group,
        )
        self._recover = ActionClient(
            node, ErrorRecovery, "action_server/error_recovery", callback_group=group
        )
        self._ptp = ActionClient(node, PTPMotion, "action_server/ptp_motion", callback_group=group)
        self._goal: Any = None
        """The future of an action's goal that is under way."""

    async def switch(self, activate: Sequence[str], deactivate: Sequence[str]) -> None:
        request = SwitchController.Request(
            activate_controllers=list(activate),
            deactivate_controllers=list(deactivate),
            strictness=SwitchController.Request.BEST_EFFORT,
            timeout=Duration(sec=2),
        )
        answer = await self._node.ask(self._switch, request)
        if not answer.ok:
            what = ", ".join([*activate, *deactivate])
            why = getattr(answer, "message", "") or "see its log"  # since ros2_control 4.28
            raise Refused(f"the controller manager did not switch {what}: {why}")

    async def activate_hardware(self, name: str) -> None:
        state = State(id=State.PRIMARY_STATE_ACTIVE, label="active")
        request = SetHardwareComponentState.Request(name=name, target_state=state)
        answer = await self._node.ask(self._hardware, request)
        if not answer.ok:
            raise Refused(f"the hardware {name!r} is {answer.state.label!r} and not active")

    async def recover_from_error(self) -> None:
        await self._do(self._recover, ErrorRecovery.Goal(), PATIENCE)

    async def move_joints(
        self, joints: Sequence[float], speeds: Sequence[float], tolerance: float
    ) -> None:
        goal = PTPMotion.Goal(
            goal_joint_configuration=list(joints),
            maximum_joint_velocities=list(speeds),
            goal_tolerance=tolerance,
        )
        await self._do(self._ptp, goal, WAY_HOME)

    async def stop_moving(self) -> bool:
        """Cancel what is under way; False where nobody says that it ends. franka_ros2 3.4.0 reads
        a cancellation only when the motion is over, since its action server blocks."""
        if self._goal is None:
            return True
        goal = await self._goal  # it may not be accepted yet; None: nobody answered
        if goal is None or not goal.accepted:
            return goal is not None
        try:
            answer = await self._node.within(goal.cancel_goal_async(), PATIENCE, "franka_ros2")
        except Refused:
            return False
        return bool(answer.goals_canceling) or answer.return_code == answer.ERROR_GOAL_TERMINATED

    async def _do(self, client: ActionClient, goal: Any, patience: float) -> None:
        name = client._action_name
        if not client.server_is_ready():
            raise Refused(f"nobody serves {name}: is franka_ros2 running, and in this namespace?")
        self._goal = client.send_goal_async(goal)
        try:
            accepted = await self._node.within(self._goal, PATIENCE, name)
            if not accepted.accepted:
                raise Refused(f"{name} refused the goal: see franka_ros2's log")
            result = await self._node.within(accepted.get_result_async(), patience, name)
        finally:
            self._goal = None
        if result.status != 4:  # action_msgs/GoalStatus.STATUS_SUCCEEDED
            why = getattr(result.result, "error_message", "") or "see franka_ros2's log"
            raise Refused(f"{name} did not succeed: {why}")


class Fr3BridgeNode(PlainNode):
    NAME = "fr3_bridge"
    CONFIG: Any = Fr3Config

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(self.NAME, **kwargs)
        self.config: Any = declare_parameters(self, self.CONFIG)
        # While one service awaits its answer the others are served.
        self.meanwhile = ReentrantCallbackGroup()
        self.bridge = self.make_bridge()
        self._state: bytes | None = None
        self._wish = HandWish(self.config)
        self._width: float | None = None
        self._grasp = ActionClient(self, Grasp, "franka_gripper/grasp")
        self._move = ActionClient(self, Move, "franka_gripper/move")
        self._pose = self.create_publisher(PoseStamped, "current_pose", QOS_CAMERA)
        self._status = self.create_publisher(ArmStatus, "arm_status", QOS_CAMERA)
        self._wrench = self.create_publisher(WrenchStamped, "external_wrench", QOS_CAMERA)
        self._fingers = self.create_publisher(JointState, "gripper/joint_states", 10)
        # It comes 1000 times a second and is large: only what is told on is read.
        self.create_subscription(
            FrankaRobotState,
            "franka_robot_state_broadcaster/robot_state",
            self._on_state,
            QOS_CAMERA,
            raw=True,
        )
        hear = self.create_subscription
        hear(JointState, "franka_gripper/joint_states", self._on_fingers, QOS_CAMERA)
        hear(JointState, "controller/gripper_command", self._on_gripper, QOS_COMMAND)
        for kind, name, act in (
            (SetBool, "controller/set_active", self._set_active),
            (Trigger, "arm/recover", self._serve(self.bridge.recover)),
            (Trigger, "arm/home", self._serve(self.bridge.home)),
        ):
            self.create_service(kind, name, act, callback_group=self.meanwhile)
        self.create_timer(1.0 / self.config.rate_hz, self._tell)
        self.create_timer(PERIOD, self._tell_hand)

    def make_bridge(self) -> Bridge:
        self._franka = FrankaServices(self)
        return Bridge(self._franka, self.config)

    def ailment(self) -> str:
        self.facts |= {"active": self.bridge.active, "mode": self.bridge.mode}
        return super().ailment()

    # What is told on

    def _on_state(self, msg: Any) -> None:
        self._state = msg

    def _tell(self) -> None:
        if self._state is None:  # an old state is not told again
            return
        state: Any = deserialize_message(self._state, FrankaRobotState)
        self._state = None
        self.bridge.mode = MODE_OF[state.robot_mode]
        header = Header(stamp=state.header.stamp, frame_id=self.config.frame)
        self._status.publish(ArmStatus(header=header, mode=self.bridge.mode))
        self._pose.publish(PoseStamped(header=header, pose=state.o_t_ee.pose))
        self._wrench.publish(WrenchStamped(header=header, wrench=state.o_f_ext_hat_k.wrench))

    def _on_fingers(self, msg: JointState) -> None:
        self._width = gripper_from_msg(msg)
        self._fingers.publish(msg)

    # What is asked for

    def _on_gripper(self, msg: JointState) -> None:
        if math.isfinite(width := gripper_from_msg(msg)):
            self._wish.want(width)

    def _tell_hand(self) -> None:
        if command := self._wish.take(self._width, time.monotonic()):
            self.facts["told_hand"] = str(command)
            self._obey(command)

    def _obey(self, command: HandCommand) -> None:
        width, speed = command.width, self.config.hand_speed
        if command.grasps:
            epsilon = GraspEpsilon(inner=EPSILON, outer=EPSILON)
            force = self.config.hand_force
            goal = Grasp.Goal(width=width, epsilon=epsilon, speed=speed, force=force)
            self._grasp.send_goal_async(goal)
        else:
            self._move.send_goal_async(Move.Goal(width=width, speed=speed))

    async def _set_active(self, request: Any, response: Any) -> Any:
        act = self.bridge.activate if request.data else self._deactivate
        return await self._serve(act)(request, response)

    async def _deactivate(self) -> None:
        """A motion first: while there is one no controller is active."""
        ends = await self._franka.stop_moving()
        await self.bridge.deactivate()
        if not ends:
            raise Refused("the arm may still move, for its driver ends no motion: press user stop")

    def _serve(self, act: Callable[[], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(_request: Any, response: Any) -> Any:
            try:
                await act()
                response.success, response.message = True, f"the arm is in mode {self.bridge.mode}"
            except Refused as refusal:
                response.success, response.message = False, str(refusal)
            return response

        return answer

    async def ask(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            raise Refused(f"nobody serves {client.srv_name}: is franka_ros2 running?")
        return await self.within(client.call_async(request), PATIENCE, client.srv_name)

    async def within(self, future: Any, patience: float, whom: str) -> Any:
        """What the future brings; `Refused` after `patience` [s]."""
        guard = self.create_timer(patience, future.cancel, callback_group=self.meanwhile)
        try:
            answer = await future
        finally:
            self.destroy_timer(guard)
        if future.cancelled():
            raise Refused(f"{whom} did not answer within {patience:g} s")
        return answer


def main() -> None:
    run_and_exit(Fr3BridgeNode)
