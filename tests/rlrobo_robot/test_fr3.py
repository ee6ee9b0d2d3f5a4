"""The FR3's bridge: what it asks for and in which order; and that every name which it and the
controllers' YAML use is one that the drivers know. Neither driver can run here, so their
definitions stand in tables with repository and version."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlrobo_core.panda import NEUTRAL
from rlrobo_core.robot import MODES
from rlrobo_robot.fr3.bridge import MODE_OF, Bridge, Fr3Config
from rlrobo_robot.refused import Refused

PACKAGE = Path(__file__).parents[2] / "src/rlrobo_robot"
NODE = PACKAGE / "rlrobo_robot/fr3/node.py"
YAML = PACKAGE / "config/fr3_controllers.yaml"

FIELDS = {
    # frankarobotics/franka_ros2 v3.4.0, franka_msgs
    "ErrorRecovery.Goal": set(),
    "Grasp.Goal": {"width", "epsilon", "speed", "force"},
    "GraspEpsilon": {"inner", "outer"},
    "Move.Goal": {"width", "speed"},
    "PTPMotion.Goal": {"goal_joint_configuration", "maximum_joint_velocities", "goal_tolerance"},
    # ros-controls/ros2_control, jazzy, controller_manager_msgs
    "SwitchController.Request": {
        "activate_controllers", "deactivate_controllers", "strictness", "activate_asap", "timeout",
    },
    "SetHardwareComponentState.Request": {"name", "target_state"},
    # lifecycle_msgs of Jazzy
    "State": {"id", "label"},
}  # fmt: skip
ROBOT_STATE = {"header", "robot_mode", "o_t_ee", "o_f_ext_hat_k"}
"""Of franka_msgs/FrankaRobotState, franka_ros2 v3.4.0, those that the bridge reads."""
ROBOT_MODES = ("OTHER", "IDLE", "MOVE", "GUIDING", "REFLEX", "USER_STOPPED",
               "AUTOMATIC_ERROR_RECOVERY")  # fmt: skip
"""ROBOT_MODE_… of franka_msgs/FrankaRobotState v3.4.0, by their number."""
NAMES = {
    # franka_hardware, franka_gripper, franka_robot_state_broadcaster of franka_ros2 v3.4.0
    "action_server/error_recovery", "action_server/ptp_motion",
    "franka_gripper/grasp", "franka_gripper/move", "franka_gripper/joint_states",
    "franka_robot_state_broadcaster/robot_state",
    # controller_manager of ros2_control, jazzy
    "controller_manager/switch_controller", "controller_manager/set_hardware_component_state",
}  # fmt: skip
CRISP = {
    "joints": list, "end_effector_frame": str, "base_frame": str,
    "task": {
        "k_pos_x": (0.0, 5000.0), "k_pos_y": (0.0, 5000.0), "k_pos_z": (0.0, 5000.0),
        "k_rot_x": (0.0, 5000.0), "k_rot_y": (0.0, 5000.0), "k_rot_z": (0.0, 5000.0),
        "error_clip": {"x": float, "y": float, "z": float, "rx": float, "ry": float, "rz": float},
    },
    "nullspace": {"stiffness": (0.0, 500.0)},
    "use_friction": bool, "use_coriolis_compensation": bool, "use_gravity_compensation": bool,
    "limit_error": bool, "limit_torques": bool, "max_delta_tau": float,
}  # fmt: skip
"""utiasDSL/crisp_controllers (learnsyslab) 2.3.1, src/cartesian_controller.yaml: type or bounds of
the parameters that are set."""
TYPES = {
    "joint_state_broadcaster": "joint_state_broadcaster/JointStateBroadcaster",
    "franka_robot_state_broadcaster": "franka_robot_state_broadcaster/FrankaRobotStateBroadcaster",
    "cartesian_impedance": "crisp_controllers/CartesianController",
}
"""Plugins: crisp_controllers.xml 2.3.1; franka_bringup/config/controllers.yaml v3.4.0."""


class Recorded:
    """Franka's services, which all succeed, and what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def recover_from_error(self) -> None:
        self.asked.append(("recover",))

    async def activate_hardware(self, name: str) -> None:
        self.asked.append(("hardware", name))

    async def switch(self, activate: Sequence[str], deactivate: Sequence[str]) -> None:
        self.asked.append(("switch", tuple(activate), tuple(deactivate)))

    async def move_joints(self, joints, speeds, tolerance: float) -> None:
        self.asked.append(("move", joints, max(speeds), tolerance))


@pytest.fixture
def bridge() -> Bridge:
    bridge = Bridge(Recorded(), Fr3Config())
    bridge.mode = "idle"
    return bridge


def asked(bridge: Bridge) -> list[tuple[Any, ...]]:
    return bridge._franka.asked  # pyright: ignore[reportAttributeAccessIssue]


def test_the_controller_is_active_while_it_is_armed_and_is_always_ended(bridge: Bridge) -> None:
    asyncio.run(bridge.activate())
    asyncio.run(bridge.activate())
    assert asked(bridge) == [("switch", ("cartesian_impedance",), ())] and bridge.active
    for _ in range(2):
        asyncio.run(bridge.deactivate())
    assert asked(bridge)[1:] == [("switch", (), ("cartesian_impedance",))] * 2
    assert not bridge.active


@pytest.mark.parametrize("mode", sorted(set(MODES) - {"idle", "move"}))
def test_an_arm_that_is_not_well_is_neither_activated_nor_homed(bridge: Bridge, mode: str) -> None:
    bridge.mode = mode
    for act in (bridge.activate, bridge.home):
        with pytest.raises(Refused, match=f"mode '{mode}'; release the user stop, or call recover"):
            asyncio.run(act())
    assert not asked(bridge)


def test_recovery_takes_three_steps_in_order_and_activates_nothing_that_moves(
    bridge: Bridge,
) -> None:
    asyncio.run(bridge.recover())
    assert [it[0] for it in asked(bridge)] == ["recover", "hardware", "switch"]
    assert asked(bridge)[1] == ("hardware", "FrankaHardwareInterface")
    assert "cartesian_impedance" not in asked(bridge)[2][1]


def test_it_goes_home_slowly_and_only_when_it_is_not_active(bridge: Bridge) -> None:
    asyncio.run(bridge.home())
    ((_, joints, fastest, _),) = asked(bridge)
    assert joints == NEUTRAL.tolist() and fastest < 0.3
    asyncio.run(bridge.activate())
    for act in (bridge.home, bridge.recover):
        with pytest.raises(Refused, match="call disarm first"):
            asyncio.run(act())


def test_modes_are_the_drivers_by_their_number() -> None:
    words = {"AUTOMATIC_ERROR_RECOVERY": "recovering"}
    assert tuple(words.get(it, it.lower()) for it in ROBOT_MODES) == MODE_OF
    assert set(MODE_OF) == set(MODES)


def calls() -> list[tuple[str, set[str]]]:
    """Every message that the node makes, by its name, with the fields it sets."""
    tree = ast.parse(NODE.read_text())
    found = [it for it in ast.walk(tree) if isinstance(it, ast.Call)]
    return [
        (ast.unparse(it.func), {str(keyword.arg) for keyword in it.keywords})
        for it in found
        if ast.unparse(it.func) in FIELDS
    ]


def test_the_node_sets_only_fields_that_the_drivers_messages_have() -> None:
    assert {name for name, _ in calls()} == set(FIELDS)
    for name, fields in calls():
        assert fields <= FIELDS[name], name


def test_the_node_reads_only_fields_of_the_state_that_there_are() -> None:
    read = {
        it.attr
        for it in ast.walk(ast.parse(NODE.read_text()))
        if isinstance(it, ast.Attribute)
        and isinstance(it.value, ast.Name)
        and it.value.id == "state"
    }
    assert read == ROBOT_STATE


def test_the_node_speaks_only_to_names_that_the_drivers_serve() -> None:
    texts = {
        it.value
        for it in ast.walk(ast.parse(NODE.read_text()))
        if isinstance(it, ast.Constant) and isinstance(it.value, str) and "\n" not in it.value
    }
    theirs = {it for it in texts if it.split("/")[0] in {name.split("/")[0] for name in NAMES}}
    assert theirs == NAMES


def check(values: dict[str, Any], known: dict[str, Any]) -> None:
    assert set(values) <= set(known), set(values) - set(known)
    for name, value in values.items():
        match known[name]:
            case dict() as inner:
                check(value, inner)
            case (low, high):
                assert isinstance(value, float) and low <= value <= high, name
            case kind:
                assert type(value) is kind, name


def test_the_controllers_yaml_has_the_controllers_parameters() -> None:
    nodes = yaml.safe_load(YAML.read_text())["/**"]
    values = {name: it["ros__parameters"] for name, it in nodes.items()}
    manager = values["controller_manager"]
    assert manager["update_rate"] == 1000
    assert {name: it["type"] for name, it in manager.items() if isinstance(it, dict)} == TYPES
    assert set(values) - {"controller_manager"} <= set(TYPES)
    crisp = values["cartesian_impedance"]
    check(crisp, CRISP)
    assert len(crisp["joints"]) == 7
    assert not crisp["use_gravity_compensation"], "Franka does it; twice would push the arm up"
    config = Fr3Config()
    assert {config.controller, *config.broadcasters} == set(TYPES)


def test_every_driver_is_pinned_to_the_version_it_was_checked_against() -> None:
    repositories = yaml.safe_load((PACKAGE.parents[1] / "rlrobo.repos").read_text())["repositories"]
    assert all(set(it) == {"type", "url", "version"} for it in repositories.values())
    assert all(it["type"] == "git" for it in repositories.values())
    assert {name: it["version"] for name, it in repositories.items()} == {
        "franka_ros2": "v3.4.0",
        "franka_description": "2.8.0",
        "libfranka": "0.20.5",
        "crisp_controllers": "v2.3.1",
    }
