"""MoveIt Servo's bridge: what it asks for and in which order, and that its configuration has only
keys that Servo knows. MoveIt is not here; its definitions stand in tables with their origin."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from rlrobo_core.panda import NEUTRAL
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.servo.bridge import GROUP, ServoBridge, ServoConfig, move_by_moveit

YAML = Path(__file__).parents[2] / "src/rlrobo_robot/config/servo.yaml"
SERVO = {
    "move_group_name": str, "command_in_type": str, "publish_period": float,
    "max_expected_latency": float, "incoming_command_timeout": float, "command_out_type": str,
    "command_out_topic": str, "joint_topic": str, "publish_joint_positions": bool,
    "publish_joint_velocities": bool, "is_primary_planning_scene_monitor": bool,
    "check_collisions": bool, "self_collision_proximity_threshold": float,
    "scene_collision_proximity_threshold": float,
    "scale": {"linear": float, "rotational": float},
}  # fmt: skip
"""moveit/moveit2 73764104, moveit_ros/moveit_servo/config/servo_parameters.yaml: the type of the
parameters that are set."""


class Recorded:
    """Services of Franka and Servo, which all succeed unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.deaf = False

    async def switch(self, activate, deactivate) -> None:
        self.asked.append(("switch", tuple(activate), tuple(deactivate)))

    async def follow_poses(self) -> None:
        self.asked.append(("poses",))

    async def pause(self, paused: bool) -> None:
        self.asked.append(("pause", paused))
        if self.deaf:
            raise Refused("nobody serves servo_node/pause_servo")


@pytest.fixture
def asked() -> Recorded:
    return Recorded()


@pytest.fixture
def bridge(asked: Recorded) -> ServoBridge:
    bridge = ServoBridge(asked, asked, ServoConfig())  # pyright: ignore[reportArgumentType]
    bridge.mode = "idle"
    return bridge


def test_servo_commands_only_a_controller_that_is_active(bridge, asked: Recorded) -> None:
    asyncio.run(bridge.activate())
    assert asked.asked == [
        ("pause", True),
        ("poses",),
        ("switch", ("fr3_arm_controller",), ()),
        ("pause", False),
    ]
    assert bridge.active
    asyncio.run(bridge.deactivate())
    assert asked.asked[4:] == [("pause", True), ("switch", (), ("fr3_arm_controller",))]


def test_the_controller_is_ended_even_where_servo_is_dead(bridge, asked: Recorded) -> None:
    asyncio.run(bridge.activate())
    asked.deaf = True
    with pytest.raises(Refused):
        asyncio.run(bridge.deactivate())
    assert asked.asked[-1] == ("switch", (), ("fr3_arm_controller",)) and not bridge.active


def test_nothing_is_active_where_servo_is_not_there(bridge, asked: Recorded) -> None:
    asked.deaf = True
    with pytest.raises(Refused):
        asyncio.run(bridge.activate())
    assert not bridge.active and not [it for it in asked.asked if it[0] == "switch"]


def test_the_configuration_has_servos_parameters() -> None:
    values = yaml.safe_load(YAML.read_text())["servo_node"]["ros__parameters"]["moveit_servo"]
    for known, given in ((SERVO, values), (SERVO["scale"], values["scale"])):
        for name, value in given.items():
            assert isinstance(known[name], dict) or type(value) is known[name], name
    assert values["move_group_name"] == GROUP
    assert values["command_out_topic"].startswith(ServoConfig().controller + "/")
    safety = SafetyConfig()
    assert values["scale"]["linear"] >= safety.max_speed
    assert values["scale"]["rotational"] >= safety.max_turn_speed
    assert 2.0 / safety.rate_hz < values["incoming_command_timeout"]


class FakeMoveIt:
    """moveit_py's names that are used (moveit/moveit2 73f3ff66, moveit_py/moveit/planning.pyi)."""

    def __init__(self, way: bool = True, arrives: bool = True) -> None:
        self.way, self.arrives = way, arrives
        self.done: list[Any] = []
        self.MoveItPy = self.make

    def make(self, node_name: str, launch_params_filepaths: list[str]) -> FakeMoveIt:
        assert launch_params_filepaths == ["moveit.yaml"]
        return self

    def get_planning_component(self, group: str) -> FakeMoveIt:
        assert group == GROUP
        return self

    def get_robot_model(self) -> str:
        return "model"

    def set_start_state_to_current_state(self) -> None:
        self.done.append("start")

    def set_goal_state(self, robot_state: Any) -> None:
        self.done.append(robot_state.joints.tolist())

    def plan(self) -> Any:
        return SimpleNamespace(trajectory="way") if self.way else None

    def execute(self, trajectory: str, controllers: list[str]) -> bool:
        self.done.append(trajectory)
        return self.arrives

    def shutdown(self) -> None:
        self.done.append("shutdown")


class FakeState:
    def __init__(self, model: str) -> None:
        self.joints = np.zeros(7)

    def set_joint_group_positions(self, group: str, joints: np.ndarray) -> None:
        self.joints = joints

    def update(self) -> None:
        pass


@pytest.fixture(autouse=True)
def robot_state(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("moveit", "moveit.core"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    module = SimpleNamespace(RobotState=FakeState)
    monkeypatch.setitem(sys.modules, "moveit.core.robot_state", module)


def test_moveit_plans_from_here_to_the_neutral_posture_and_is_shut_down() -> None:
    moveit = FakeMoveIt()
    move_by_moveit("moveit.yaml", NEUTRAL.tolist(), moveit)
    assert moveit.done == ["start", NEUTRAL.tolist(), "way", "shutdown"]


@pytest.mark.parametrize(
    ("moveit", "sentence"),
    [
        (FakeMoveIt(way=False), "finds no way home"),
        (FakeMoveIt(arrives=False), "did not come to the end"),
    ],
)
def test_where_there_is_no_way_it_is_said(moveit: FakeMoveIt, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        move_by_moveit("moveit.yaml", NEUTRAL.tolist(), moveit)
    assert moveit.done[-1] == "shutdown"
