"""The Panda's driver: refusals before anything moves, and a reflex that is not overlooked.

panda-py is faked (`fake_panda.py`); that the fake has its names and arguments is tested here
against a table of version 1.1.1, and the table against the library's own stubs where it is
installed.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import fake_panda
import numpy as np
import pytest
from fake_panda import RobotMode, World

from rlrobo_core import panda as kinematics
from rlrobo_core.robot import MODES
from rlrobo_robot.hand import EPSILON, HandCommand, HandConfig, HandWish
from rlrobo_robot.panda import library as panda_library
from rlrobo_robot.panda.arm import MAX_ERROR, MODE_OF, PandaArm, PandaConfig
from rlrobo_robot.panda_hand.hand import PandaHand, PandaHandConfig
from rlrobo_robot.refused import Refused

SIGNATURES = {
    ("_core", "Panda", "__init__"): ("hostname", "name", "realtime_config"),
    ("_core", "Panda", "get_robot"): (),
    ("_core", "Panda", "get_state"): (),
    ("_core", "Panda", "start_controller"): ("controller",),
    ("_core", "Panda", "stop_controller"): (),
    ("_core", "Panda", "raise_error"): (),
    ("_core", "Panda", "recover"): (),
    ("_core", "Panda", "move_to_joint_position"): (
        "positions", "speed_factor", "stiffness", "damping", "dq_threshold", "success_threshold",
    ),
    ("_core", "CartesianImpedance", "__init__"): (
        "impedance", "damping_ratio", "nullspace_stiffness", "filter_coeff",
    ),
    ("_core", "CartesianImpedance", "set_control"): ("position", "orientation", "q_nullspace"),
    ("libfranka", "Robot", "server_version"): (),
    ("libfranka", "Gripper", "__init__"): ("franka_address",),
    ("libfranka", "Gripper", "read_once"): (),
    ("libfranka", "Gripper", "move"): ("width", "speed"),
    ("libfranka", "Gripper", "grasp"): (
        "width", "speed", "force", "epsilon_inner", "epsilon_outer",
    ),
    ("libfranka", "Duration", "to_msec"): (),
    ("exceptions", "IncompatibleVersionError", "__init__"): ("server_version", "library_version"),
}  # fmt: skip
"""panda-python 1.1.1: module, class, function and its arguments, `self` left out."""
STATE = ("q", "O_T_EE", "O_F_ext_hat_K", "F_T_EE", "robot_mode", "current_errors", "time")
GRIPPER_STATE = ("width", "max_width")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(panda_library, "check_reachable", lambda *_: None)
    monkeypatch.setattr("rlrobo_robot.panda_hand.hand.check_reachable", lambda *_: None)
    return fake_panda.make()


@pytest.fixture
def arm(library) -> PandaArm:
    return PandaArm(library, PandaConfig(robot_ip="arm"))


def stub_of(module: str) -> ast.Module:
    spec = importlib.util.find_spec("panda_py")
    if spec is None or spec.origin is None:
        pytest.skip("panda-python is not installed")
    folder = Path(spec.origin).parent
    file = folder / f"{module}.pyi"
    return ast.parse((file if file.exists() else folder / f"{module}.py").read_text())


def class_in(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(it for it in tree.body if isinstance(it, ast.ClassDef) and it.name == name)


@pytest.mark.parametrize("where", SIGNATURES, ids=".".join)
def test_the_fake_has_the_librarys_arguments(where: tuple[str, str, str]) -> None:
    fake = fake_panda.make()
    places = (fake, fake.controllers, fake.libfranka)
    cls = next(getattr(place, where[1]) for place in places if hasattr(place, where[1]))
    assert tuple(inspect.signature(getattr(cls, where[2])).parameters)[1:] == SIGNATURES[where]


@pytest.mark.parametrize("where", SIGNATURES, ids=".".join)
def test_the_table_is_the_installed_librarys(where: tuple[str, str, str]) -> None:
    functions = [
        tuple(argument.arg for argument in it.args.args[1:])
        for it in class_in(stub_of(where[0]), where[1]).body
        if isinstance(it, ast.FunctionDef) and it.name == where[2]
    ]
    assert SIGNATURES[where] in functions  # one of its overloads


@pytest.mark.parametrize(
    ("name", "fields", "fake"),
    [
        ("RobotState", STATE, fake_panda.RobotState),
        ("GripperState", GRIPPER_STATE, fake_panda.GripperState),
    ],
)
def test_states_have_the_librarys_fields(name: str, fields: tuple[str, ...], fake: type) -> None:
    assert tuple(fake.__dataclass_fields__) == fields
    assert set(fields) <= {
        it.name
        for it in class_in(stub_of("libfranka"), name).body
        if isinstance(it, ast.FunctionDef)
    }


def test_every_mode_of_libfranka_has_a_word() -> None:
    assert set(MODE_OF) == set(RobotMode.__members__)
    assert set(MODE_OF.values()) == set(MODES)


def test_it_tells_where_the_arm_is(arm: PandaArm) -> None:
    state = arm.read()
    assert state is not None and state.mode == "idle"
    np.testing.assert_allclose(state.ee_pose, kinematics.forward(state.joints).pose, atol=1e-9)


def test_it_goes_where_it_is_told_while_it_is_active(arm: PandaArm, library) -> None:
    start = arm.read().ee_pose
    target = start.copy()
    target[1] += 0.1
    arm.follow(target)
    np.testing.assert_array_equal(arm.read().ee_pose, start)
    arm.activate()
    for _ in range(200):
        arm.follow(target)
        state = arm.read()
        set_to = library.robot.controller.target
        assert np.linalg.norm(set_to[:3] - state.ee_pose[:3]) < MAX_ERROR + 1e-6
    assert state.mode == "move"
    np.testing.assert_allclose(state.ee_pose, target, atol=1e-3)
    arm.deactivate()
    assert arm.read().mode == "idle" and not arm.active


def test_a_reflex_that_ends_the_librarys_loop_is_told(arm: PandaArm, library) -> None:
    arm.read()
    arm.activate()
    library.robot.reflex()
    assert arm.read().mode == "reflex"
    assert not arm.active and "reflex" in arm.broken
    with pytest.raises(Refused, match="call recover"):
        arm.activate()
    arm.deactivate()
    assert arm.read().mode == "reflex", "deactivating is no recovery"
    assert arm.recover() == "idle"
    arm.activate()
    assert arm.active


def test_a_loop_that_broke_without_a_reflex_is_told_until_it_is_deactivated(
    arm: PandaArm, library
) -> None:
    arm.activate()
    library.robot.error = "libfranka: communication constraints violation"
    assert arm.read().mode == "other"
    assert arm.read().mode == "other"
    arm.deactivate()
    assert arm.read().mode == "idle"


def test_an_old_state_is_not_told_again(arm: PandaArm, library) -> None:
    assert arm.read() is not None
    library.robot.hangs = True
    arm.read()
    assert arm.read() is None


def test_an_arm_that_is_lost_ends_the_driver_with_a_sentence(arm: PandaArm, library) -> None:
    library.robot.lost = True
    with pytest.raises(ValueError, match="was lost: .*check the cable"):
        arm.read()


@pytest.mark.parametrize("mode", [RobotMode.kGuiding, RobotMode.kUserStopped, RobotMode.kReflex])
def test_an_arm_that_is_not_well_is_not_activated(arm: PandaArm, library, mode) -> None:
    library.robot.mode = mode
    with pytest.raises(Refused, match="release the user stop, or call recover"):
        arm.activate()
    with pytest.raises(Refused, match="release the user stop, or call recover"):
        arm.home()


def test_it_goes_home_unless_it_is_active_and_can_be_stopped_on_the_way(
    arm: PandaArm, library
) -> None:
    library.robot.arm._q[0] = 0.5
    assert "neutral" in arm.home()
    np.testing.assert_array_equal(arm.read().joints, kinematics.NEUTRAL)
    stop = threading.Timer(0.05, arm.deactivate)
    stop.start()
    with pytest.raises(Refused, match="before the neutral posture"):
        arm.home()
    stop.join()
    arm.activate()
    with pytest.raises(Refused, match="call disarm first"):
        arm.home()


def test_no_library_is_said_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "panda_py", None)
    with pytest.raises(ValueError, match=r"\./rlrobo shell pip install panda-python==1\.1\.1"):
        panda_library.load()


@pytest.mark.parametrize(
    ("version", "cure"), [(3, "4.2.1"), (4, "4.2.1"), (6, "robot:=fr3"), (10, "robot:=fr3")]
)
def test_another_arm_is_refused(library, version: int, cure: str) -> None:
    library.robot.server_version = version
    with pytest.raises(ValueError, match=cure):
        PandaArm(library, PandaConfig(robot_ip="arm"))


def test_another_tool_is_refused(library) -> None:
    library.robot.flange_to_tool = np.eye(4).ravel().tolist()
    with pytest.raises(ValueError, match="choose Franka Hand as end effector in Desk"):
        PandaArm(library, PandaConfig(robot_ip="arm"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        yield it.getsockname()[1]


def test_an_arm_that_does_not_answer_is_refused(closed_port: int) -> None:
    with pytest.raises(ValueError, match="activate FCI in Desk"):
        panda_library.check_reachable("127.0.0.1", closed_port)
    with pytest.raises(ValueError, match="no answer from robot_ip 'no-such-arm.invalid'"):
        panda_library.check_reachable("no-such-arm.invalid")
    with pytest.raises(ValueError, match="robot_ip:=172.16.0.2"):
        panda_library.check_reachable("")


def test_the_hand_is_told_news_only_and_not_too_often() -> None:
    wish = HandWish(HandConfig())
    wish.want(0.0)
    assert wish.take(None, 0.0) is None, "nobody knows where it is"
    assert wish.take(0.08, 0.0) == HandCommand(True, 0.0)
    wish.want(0.08)
    assert wish.take(0.0, 0.5) is None, "too early"
    assert wish.take(0.0, 0.6) == HandCommand(False, 0.08)
    wish.want(0.075)
    assert wish.take(0.08, 10.0) is None, "no news"


def test_a_flickering_wish_is_at_most_one_command_a_pause() -> None:
    wish, told = HandWish(HandConfig()), 0
    for tick in range(1000):
        wish.want(0.08 * (tick % 2))
        told += wish.take(0.0, tick * 0.01) is not None
    assert 10 <= told <= 10.0 / HandConfig().hand_pause + 1


def test_closing_grasps_whatever_is_there_and_opening_moves(library) -> None:
    hand = PandaHand(library, PandaHandConfig(robot_ip="arm"))
    assert hand.obey(HandCommand(True, 0.0)), "an object of 4 cm"
    assert hand.obey(HandCommand(False, 0.08)) and hand.width() == 0.08
    assert library.robot.told_hand == [("grasp", 0.0, EPSILON), ("move", 0.08)]


def test_a_hand_that_was_never_homed_is_refused() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlrobo_robot.panda_hand.hand.check_reachable", lambda *_: None)
        with pytest.raises(ValueError, match="home it in Desk"):
            PandaHand(fake_panda.make(World(max_width=0.0)), PandaHandConfig(robot_ip="arm"))
