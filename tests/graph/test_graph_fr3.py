"""The FR3's bridges in a real graph with the safety node, where franka_ros2's messages are
installed: around a node that serves what franka_ros2 3.4.0 and ros2_control serve."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("franka_msgs")
pytest.importorskip("controller_manager_msgs")

from controller_manager_msgs.srv import SetHardwareComponentState, SwitchController
from franka_msgs.action import ErrorRecovery, Grasp, Move, PTPMotion
from franka_msgs.msg import FrankaRobotState
from geometry_msgs.msg import PoseStamped
from graph_arms import Hands, until
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from rlrobo_core import panda as kinematics
from rlrobo_core.from_messages import pose_from_msg
from rlrobo_core.robot.arm import ArmConfig
from rlrobo_core.ros.messages import gripper_to_msg, pose_to_msg
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_robot.mock.arm import MockArm
from rlrobo_robot.safety.node import SafetyNode

RATE_HZ = 20.0


class FrankaRos2(PlainNode):
    """A kinematic FR3 with the topics, services and actions of franka_ros2 and ros2_control."""

    def __init__(self, targets: str = "controller/target_pose", **kwargs: Any) -> None:
        super().__init__("franka", **kwargs)
        self.arm = MockArm(ArmConfig(cameras=(), rate_hz=RATE_HZ))
        self.mode, self.hardware, self.width = FrankaRobotState.ROBOT_MODE_IDLE, "active", 0.0
        self.controllers = {"joint_state_broadcaster", "franka_robot_state_broadcaster"}
        self.target: np.ndarray | None = None
        self.asked: list[Any] = []
        self.way_home: Future | None = None
        """Where there is one the motion home goes on until it is done."""
        self.deaf = False
        """A cancellation is read only when the motion is over, as by franka_ros2 3.4.0."""
        self._state = self.create_publisher(
            FrankaRobotState, "franka_robot_state_broadcaster/robot_state", 1
        )
        self._fingers = self.create_publisher(JointState, "franka_gripper/joint_states", 1)
        self.create_subscription(PoseStamped, targets, self._on_target, 1)
        for kind, name, act in (
            (SwitchController, "controller_manager/switch_controller", self._switch),
            (
                SetHardwareComponentState,
                "controller_manager/set_hardware_component_state",
                self._set_hardware,
            ),
        ):
            self.create_service(kind, name, act)
        group = ReentrantCallbackGroup()  # another node's than the controller manager
        self._actions = [
            ActionServer(self, kind, name, act, cancel_callback=self._cancel, callback_group=group)
            for kind, name, act in (
                (ErrorRecovery, "action_server/error_recovery", self._recover),
                (PTPMotion, "action_server/ptp_motion", self._move),
                (Grasp, "franka_gripper/grasp", self._grasp),
                (Move, "franka_gripper/move", self._open),
            )
        ]
        self.create_timer(1.0 / RATE_HZ, self._step)

    def close(self) -> None:
        for it in self._actions:
            it.destroy()

    def reflex(self) -> None:
        """ros2_control ends all controllers of a hardware that failed."""
        self.mode = FrankaRobotState.ROBOT_MODE_REFLEX

    @property
    def active(self) -> bool:
        return bool(self.controllers & {"cartesian_impedance", "fr3_arm_controller"})

    def _step(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="fr3_link0")
        if self.active and self.mode == FrankaRobotState.ROBOT_MODE_IDLE:
            self.arm.step(self.target, 0.0)
        state = FrankaRobotState(header=header, robot_mode=self.mode)
        state.o_t_ee = PoseStamped(
            header=header, pose=pose_to_msg(self.arm.state().ee_pose.tolist())
        )
        if "franka_robot_state_broadcaster" in self.controllers:
            self._state.publish(state)
        self._fingers.publish(gripper_to_msg(self.width, header))

    def _on_target(self, msg: PoseStamped) -> None:
        self.target = np.array(pose_from_msg(msg.pose))

    def _switch(self, request: Any, response: Any) -> Any:
        self.asked.append(("switch", *request.activate_controllers))
        self.controllers -= set(request.deactivate_controllers)
        response.ok = self.hardware == "active" or not request.activate_controllers
        if response.ok:
            self.controllers |= set(request.activate_controllers)
        self.target = None
        return response

    def _set_hardware(self, request: Any, response: Any) -> Any:
        self.asked.append("hardware")
        response.ok = self.mode == FrankaRobotState.ROBOT_MODE_IDLE
        if response.ok:
            self.hardware = request.target_state.label
        return response

    def _recover(self, goal: Any) -> Any:
        self.asked.append("recover")
        self.mode = FrankaRobotState.ROBOT_MODE_IDLE
        goal.succeed()
        return ErrorRecovery.Result()

    async def _cancel(self, _goal: Any) -> CancelResponse:
        assert self.way_home
        if self.deaf:
            await self.way_home
        else:
            self.way_home.set_result("cancelled")
        return CancelResponse.ACCEPT

    async def _move(self, goal: Any) -> Any:
        self.asked.append("home")
        if self.way_home and await self.way_home:
            goal.abort()
            return PTPMotion.Result(error_message=self.way_home.result())
        self.arm._q = np.array(goal.request.goal_joint_configuration)
        self.arm._tool = kinematics.forward(self.arm._q)
        goal.succeed()
        return PTPMotion.Result()

    def _grasp(self, goal: Any) -> Any:
        self.asked.append(("grasp", goal.request.epsilon.outer))
        self.width = goal.request.width
        goal.succeed()
        return Grasp.Result(success=True)

    def _open(self, goal: Any) -> Any:
        self.asked.append("open")
        self.width = goal.request.width
        goal.succeed()
        return Move.Result(success=True)


def add_safety(graph) -> tuple[Any, Hands]:
    safety = graph.add(
        SafetyNode, rate_hz=RATE_HZ, state_timeout=2.0, target_timeout=2.0, max_target_age=5.0
    )
    return safety, graph.add(Hands)


def follow(franka: FrankaRos2, hands: Hands) -> None:
    target = franka.arm.state().ee_pose.copy()
    target[1] += 0.06
    until(
        lambda: abs(franka.arm.state().ee_pose[1] - target[1]) < 0.01 and "open" in franka.asked,
        meanwhile=lambda: hands.ask(target, 0.08),
    )


def test_an_fr3_arms_follows_faults_recovers_and_goes_home(graph) -> None:
    from rlrobo_robot.fr3.node import Fr3BridgeNode

    franka = graph.add(FrankaRos2)
    bridge = graph.add(Fr3BridgeNode, hand_pause=0.1)
    safety, hands = add_safety(graph)
    until(lambda: hands.call("arm").success)
    assert "cartesian_impedance" in franka.controllers
    follow(franka, hands)
    assert franka.width == 0.08

    franka.reflex()
    until(lambda: safety.machine.state == "FAULT")
    until(lambda: "cartesian_impedance" not in franka.controllers)
    franka.controllers.clear()  # ros2_control ends those of a hardware that failed
    franka.hardware = "inactive"
    franka.asked.clear()
    until(lambda: not bridge.bridge.active)
    assert hands.call("recover").success
    broadcasters = ("joint_state_broadcaster", "franka_robot_state_broadcaster")
    assert franka.asked[-3:] == ["recover", "hardware", ("switch", *broadcasters)]
    until(lambda: hands.call("reset").success)
    assert hands.call("home").success and franka.asked[-1] == "home"
    np.testing.assert_allclose(franka.arm.state().joints, kinematics.NEUTRAL)
    until(lambda: hands.call("arm").success)


@pytest.mark.parametrize("deaf", [False, True])
def test_stop_ends_the_way_home_or_tells_to_use_the_user_stop(graph, deaf: bool) -> None:
    from rlrobo_robot.fr3.node import Fr3BridgeNode

    franka = graph.add(FrankaRos2)
    graph.add(Fr3BridgeNode)
    safety, hands = add_safety(graph)
    until(lambda: hands.call("arm").success)  # everybody has found each other
    hands.call("disarm")
    until(lambda: not franka.active)
    franka.way_home, franka.deaf = Future(), deaf
    start = franka.arm.state().joints.copy()
    answers: list[Any] = []
    homing = threading.Thread(target=lambda: answers.append(hands.call("home")))
    homing.start()
    until(lambda: "home" in franka.asked)
    assert hands.call("stop").success
    if deaf:
        until(lambda: "press user stop" in safety.last_error)
        franka.way_home.set_result("user stop")
    until(lambda: answers)
    homing.join()
    assert not answers[0].success and franka.way_home.result() in answers[0].message
    assert bool(safety.last_error) == deaf
    np.testing.assert_array_equal(franka.arm.state().joints, start)


def test_a_bridge_without_franka_ros2_refuses_to_arm(graph) -> None:
    from rlrobo_robot.fr3.node import Fr3BridgeNode

    graph.add(Fr3BridgeNode)
    hands = graph.add(Hands)
    for name in ("recover", "home"):
        answer = hands.call(name)
        assert not answer.success
    assert "mode 'other'" in answer.message
    assert "is franka_ros2 running" in hands.call("recover").message


def test_servo_gets_the_safety_nodes_targets_while_it_is_armed(graph) -> None:
    pytest.importorskip("moveit_msgs")
    from moveit_msgs.srv import ServoCommandType

    from rlrobo_robot.servo.node import ServoBridgeNode

    franka = graph.add(lambda **k: FrankaRos2("servo_node/pose_target_cmds", **k))
    told: list[Any] = []

    def on_type(request: Any, response: Any) -> Any:
        told.append(request.command_type)
        response.success = True
        return response

    def on_pause(request: Any, response: Any) -> Any:
        told.append(request.data)
        response.success = True
        return response

    franka.create_service(ServoCommandType, "servo_node/switch_command_type", on_type)
    franka.create_service(SetBool, "servo_node/pause_servo", on_pause)
    graph.add(ServoBridgeNode, hand_pause=0.1)
    _, hands = add_safety(graph)
    until(lambda: hands.call("arm").success)
    assert told == [True, ServoCommandType.Request.POSE, False]
    assert "fr3_arm_controller" in franka.controllers
    follow(franka, hands)
    disarming = threading.Thread(target=lambda: hands.call("disarm"))
    disarming.start()
    until(lambda: "fr3_arm_controller" not in franka.controllers)
    disarming.join()
    assert told[-1] is True
