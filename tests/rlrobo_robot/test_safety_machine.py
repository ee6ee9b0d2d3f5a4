"""The states of the safety core, one way into each, and what is refused and why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from obedient_arm import HOME, TOOL_UP, Bench, at, is_active, norm, stamped

from rlrobo_core.codec import TOOL_DOWN
from rlrobo_core.robot import MODES, MOVABLE
from rlrobo_core.rotation import turned
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.machine import SafetyMachine, State
from rlrobo_robot.safety.workspace import tilt

AWAY = at(0.55, 0.03, 0.28)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def moving(bench: Bench) -> Bench:
    bench.arm()
    bench.follow(AWAY, 0.2)
    assert bench.machine.state is State.ARMED
    return bench


def test_disarmed_nothing_is_told_and_no_target_is_taken(bench: Bench) -> None:
    assert bench.target(AWAY) == "not_armed"
    bench.tick(20)
    assert not bench.told and bench.machine.state is State.DISARMED


def test_armed_it_holds_still_until_the_first_target_and_then_reaches_it(bench: Bench) -> None:
    bench.arm()
    bench.tick(20)
    assert bench.machine.state is State.HOLD
    assert all(np.array_equal(pose, HOME) for _, pose, _ in bench.told)
    bench.follow(AWAY, 2.0)
    assert bench.machine.state is State.ARMED
    np.testing.assert_allclose(bench.told[-1][1], AWAY, atol=1e-6)


def test_from_rest_the_way_is_straight(bench: Bench) -> None:
    bench.arm()
    bench.follow(AWAY, 2.0)
    way = np.array(AWAY[:3]) - HOME[:3]
    for _, pose, _ in bench.told:
        assert norm(np.cross(pose[:3] - HOME[:3], way / norm(way))) < 1e-9


@pytest.mark.parametrize(
    ("pose", "age", "frame", "reason"),
    [
        ([*AWAY[:2], math.nan, *AWAY[3:]], 0.0, "base", "not_finite"),
        ([*AWAY[:2], math.inf, *AWAY[3:]], 0.0, "base", "not_finite"),
        (AWAY, math.nan, "base", "not_finite"),
        ([*AWAY[:3], 0.0, 0.0, 0.0, 0.0], 0.0, "base", "not_unit"),
        ([*AWAY[:3], 0.0, 0.0, 0.0, 1.1], 0.0, "base", "not_unit"),
        (AWAY, 0.0, "world", "wrong_frame"),
        (AWAY, 0.51, "base", "too_old"),
        (AWAY, -0.2, "base", "from_the_future"),
        (at(0.5, 0.31, 0.3), 0.0, "base", "too_far"),
        (at(0.5, 0.0, 0.3, TOOL_UP), 0.0, "base", "too_far"),
    ],
)
def test_what_is_wrong_with_a_target_is_named(bench: Bench, pose, age, frame, reason) -> None:
    bench.arm()
    assert bench.target(pose, age, frame) == reason
    assert bench.machine.rejected == {f"target/{reason}": 1}
    assert bench.machine.state is State.HOLD


def test_stamps_must_grow(bench: Bench) -> None:
    bench.arm()
    assert bench.target(AWAY, age=0.1) == ""
    assert bench.target(AWAY, age=0.1) == "out_of_order"
    assert bench.target(AWAY, age=0.2) == "out_of_order"
    assert bench.target(AWAY, age=0.05) == ""


def test_a_target_is_drawn_to_a_step_from_the_measured_pose(bench: Bench) -> None:
    bench.arm()
    bench.follows = 0.0  # the arm is stuck
    bench.follow(at(0.5, 0.29, 0.3), 3.0)
    np.testing.assert_allclose(bench.told[-1][1][:3], [0.5, 0.1, 0.3], atol=1e-6)


def test_a_target_outside_ends_at_the_wall(bench: Bench) -> None:
    bench.pose[:3] = 0.5, 0.0, 0.05
    bench.tick()
    bench.arm()
    bench.follow(at(0.5, 0.0, -0.1), 3.0)
    assert bench.told[-1][1][2] == pytest.approx(SafetyConfig().box_low[2])


def test_a_tool_that_should_lean_too_far_leans_as_far_as_it_may(bench: Bench) -> None:
    bench.arm()
    for degrees in range(0, 60, 5):
        lean = turned(tuple(map(float, TOOL_DOWN)), (0.0, math.radians(degrees), 0.0))
        bench.follow(at(0.5, 0.0, 0.3, lean), 0.5)
    assert tilt(bench.told[-1][1][3:]) == pytest.approx(SafetyConfig().max_tilt, abs=1e-6)


def test_without_targets_it_stops_where_it_was_and_goes_on_with_the_next_one(moving: Bench) -> None:
    began = len(moving.told)
    moving.tick(200)
    assert moving.machine.state is State.HOLD
    assert "no valid target" in moving.machine.reason
    assert norm(moving.told[-1][1][:3] - moving.told[-50][1][:3]) < 1e-9
    assert norm(moving.told[-1][1][:3] - moving.told[began][1][:3]) < 0.15
    moving.target(AWAY)
    assert moving.machine.state is State.ARMED


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in MOVABLE])
def test_an_arm_that_cannot_be_commanded_is_a_fault_that_stays(moving: Bench, mode: str) -> None:
    moving.mode = mode
    moving.tick()
    assert moving.machine.state is State.FAULT and mode in moving.machine.reason
    assert moving.target(AWAY) == "not_armed"
    with pytest.raises(Refused, match="still there"):
        moving.machine.reset(moving.now)
    moving.mode = "idle"
    moving.tick()
    assert moving.machine.state is State.FAULT
    with pytest.raises(Refused, match="reset"):
        moving.arm()
    moving.machine.reset(moving.now)
    assert moving.machine.state is State.DISARMED
    moving.arm()
    assert moving.machine.state is State.HOLD


@pytest.mark.parametrize("six", [(31, 0, 0, 0, 0, 0), (0, 0, 0, 8, 8, 0), (math.nan,) * 6])
def test_too_much_external_force_or_torque_is_a_fault(moving: Bench, six) -> None:
    moving.machine.see_wrench(np.array([29.0, 0, 0]), np.zeros(3))
    moving.tick()
    assert is_active(moving)
    moving.machine.see_wrench(np.array(six[:3], float), np.array(six[3:], float))
    moving.tick()
    assert moving.machine.state is State.FAULT and "external" in moving.machine.reason


def test_stop_is_a_fault_from_anywhere(bench: Bench, moving: Bench) -> None:
    for it in (Bench(), moving):
        it.machine.stop()
        it.machine.disarm()
        assert it.machine.state is State.FAULT
        it.machine.reset(it.now)
        assert it.machine.state is State.DISARMED


def test_it_is_not_armed_before_the_arm_is_known_and_well() -> None:
    machine = SafetyMachine(SafetyConfig())
    with pytest.raises(Refused, match="current_pose"):
        machine.arm(0.0)
    machine.see_pose(stamped(HOME, 0.0), 0.0)
    with pytest.raises(Refused, match="arm_status"):
        machine.arm(0.0)
    machine.see_mode("user_stopped", 0.0, 0.0)
    with pytest.raises(Refused, match="user_stopped"):
        machine.arm(0.0)
    machine.see_mode("idle", 0.1, 0.1)
    machine.arm(0.1)


@pytest.mark.parametrize("pose", [at(0.5, 0.0, 0.7), at(0.5, 0.0, 0.3, TOOL_UP)])
def test_it_is_not_armed_outside_of_the_workspace(pose) -> None:
    bench = Bench(pose=np.array(pose))
    with pytest.raises(Refused, match=r"workspace from \[0.3, .* guide it inside"):
        bench.arm()


def test_the_gripper_moves_only_while_the_arm_may(bench: Bench) -> None:
    machine = bench.machine
    assert machine.see_gripper(0.04, bench.now, bench.now) is None
    bench.arm()
    assert machine.see_gripper(0.2, bench.now, bench.now) == 0.08
    assert machine.see_gripper(math.nan, bench.now + 0.01, bench.now + 0.01) is None
    assert machine.see_gripper(0.04, bench.now, bench.now) is None
    assert machine.rejected == {
        "gripper/not_armed": 1, "gripper/not_finite": 1, "gripper/out_of_order": 1
    }  # fmt: skip


def test_a_released_deadman_holds() -> None:
    bench = Bench(config=SafetyConfig(deadman="joy"))
    bench.arm()
    assert bench.target(AWAY) == "deadman"
    bench.machine.see_deadman(True, bench.now)
    assert bench.target(AWAY) == ""
    bench.tick()
    bench.machine.see_deadman(False, bench.now)
    bench.tick()
    assert bench.machine.state is State.HOLD and "deadman" in bench.machine.reason


@pytest.mark.parametrize("changes", [{"box_low": (0.3, 0.5, 0.0)}, {"box_high": (0.8, 0.4)}])
def test_a_box_that_is_none_is_refused(changes) -> None:
    with pytest.raises(ValueError, match="box_"):
        SafetyMachine(SafetyConfig(**changes))
