"""Whatever comes in, what goes out stays inside and under the limits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from obedient_arm import DT, HOME, Bench, at, is_active, norm, runs, stamped

from rlrobo_core.rotation import turn_between
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.machine import State
from rlrobo_robot.safety.workspace import tilt

SLACK = 1e-6
"""Relative, of rounding."""

anything = st.floats(allow_nan=True, allow_infinity=True)
sane = st.floats(-1.0, 1.0)
angles = st.floats(-math.pi, math.pi)
near = st.builds(
    lambda x, y, z: at(HOME[0] + 0.4 * x, 0.5 * y, HOME[2] + 0.4 * z), sane, sane, sane
)
leaning = st.builds(
    lambda pose, roll, yaw: [
        *pose[:3],
        math.cos(roll / 2) * math.cos(yaw / 2),
        math.cos(roll / 2) * math.sin(yaw / 2),
        math.sin(roll / 2) * math.sin(yaw / 2),
        math.sin(roll / 2) * math.cos(yaw / 2),
    ],
    near,
    angles,
    angles,
)
poses = near | leaning | st.lists(anything, min_size=7, max_size=7)
ages = st.sampled_from([0.0, 0.1]) | anything
frames = st.sampled_from(["base", "base", "base", "world", ""])
events = st.one_of(
    st.tuples(st.just("target"), poses, ages, frames),
    st.tuples(st.just("burst"), st.lists(poses, max_size=8)),
    st.tuples(st.just("tick"), st.integers(1, 60)),
    st.tuples(st.just("bad_state"), poses, ages, frames),
    st.tuples(st.just("pushed"), near),
    st.tuples(st.just("wrench"), st.lists(anything, min_size=6, max_size=6)),
    st.tuples(st.just("gripper"), anything, ages),
    st.tuples(st.just("asked"), st.sampled_from(["arm", "disarm", "stop", "reset"])),
)


def happen(bench: Bench, event: tuple) -> None:
    machine = bench.machine
    match event:
        case "target", pose, age, frame:
            bench.target(pose, age, frame)
        case "burst", many:
            for pose in many:
                bench.target(pose)
        case "tick", count:
            bench.tick(count)
        case "bad_state", pose, age, frame:
            machine.see_pose(stamped(pose, bench.now - age, frame), bench.now)
        case "pushed", pose:
            bench.pose[:3] = pose[:3]
        case "wrench", six:
            machine.see_wrench(np.array(six[:3]), np.array(six[3:]))
        case "gripper", width, age:
            given_width = machine.see_gripper(width, bench.now - age, bench.now)
            assert given_width is None or 0.0 <= given_width <= bench.config.max_width
        case "asked", word:
            try:
                {
                    "arm": bench.arm,
                    "disarm": machine.disarm,
                    "stop": machine.stop,
                    "reset": lambda: machine.reset(bench.now),
                }[word]()
            except Refused:
                assert not is_active(bench)


def check_limits(bench: Bench) -> None:
    config = bench.config
    low, high = np.array(config.box_low), np.array(config.box_high)
    for _times, poses_T in runs(bench):
        assert np.isfinite(poses_T).all()
        assert (poses_T[:, :3] >= low).all() and (poses_T[:, :3] <= high).all()
        assert max(tilt(pose[3:]) for pose in poses_T) <= config.max_tilt + SLACK
        np.testing.assert_allclose(np.linalg.norm(poses_T[:, 3:], axis=1), 1.0, atol=1e-9)
        velocity_T = np.diff(poses_T[:, :3], axis=0) / DT
        turning_T = [
            np.array(turn_between(a[3:], b[3:])) / DT for a, b in itertools.pairwise(poses_T)
        ]
        for motion_T, speed, acceleration in (
            (velocity_T, config.max_speed, config.max_acceleration),
            (turning_T, config.max_turn_speed, config.max_turn_acceleration),
        ):
            from_rest_T = [np.zeros(3), *motion_T]
            assert all(norm(it) <= speed * (1 + SLACK) for it in motion_T)
            assert all(
                norm(b - a) <= acceleration * DT * (1 + SLACK) + SLACK
                for a, b in zip(from_rest_T, motion_T, strict=False)
            )


@settings(max_examples=25)
@given(st.lists(events, max_size=25))
def test_whatever_comes_the_output_stays_inside_and_under_the_limits(stream) -> None:
    bench = Bench()
    bench.arm()
    for event in stream:
        happen(bench, event)
        bench.tick(5)
    bench.tick(100)
    check_limits(bench)


@settings(max_examples=15)
@given(st.lists(near | leaning, min_size=2, max_size=12), st.sampled_from([1, 3, 10]))
def test_targets_that_jump_about_the_walls_never_lead_through_them(goals, ticks) -> None:
    """As fast as the arm may go, in a box that is small: braking in time is what counts."""
    quick = SafetyConfig(
        box_low=(0.4, -0.1, 0.2), box_high=(0.6, 0.1, 0.4), max_speed=1.0, max_turn_speed=2.0
    )
    bench = Bench(config=quick)
    bench.arm()
    for goal in goals:
        for _ in range(6):
            bench.target(goal)
            bench.tick(ticks)
    bench.tick(100)
    check_limits(bench)


@settings(max_examples=20)
@given(
    st.lists(poses, max_size=5),
    st.sampled_from(["pose", "mode", "both", "targets", "frozen pose", "deadman"]),
    st.floats(0.05, 1.0),
)
def test_silence_ends_in_hold_or_fault_within_its_limit(goals, what, limit) -> None:
    config = replace(SafetyConfig(), target_timeout=limit, state_timeout=limit, deadman="heartbeat")
    bench = Bench(config=replace(config, deadman_timeout=limit))
    bench.arm()
    bench.machine.see_deadman(True, bench.now)
    for goal in [*goals, HOME]:
        bench.target(goal)
        bench.machine.see_deadman(True, bench.now)
        bench.tick(2)
    assert bench.machine.state is State.ARMED
    if what in ("pose", "both", "frozen pose"):
        bench.tells_pose = False
    if what in ("mode", "both"):
        bench.mode = None
    frozen = stamped(HOME, bench.now)
    for _ in range(math.ceil(limit / DT) + 1):
        if what != "targets":
            bench.target(HOME)
        if what != "deadman":
            bench.machine.see_deadman(True, bench.now)
        if what == "frozen pose":
            bench.machine.see_pose(frozen, bench.now)
        bench.tick()
    holds = what in ("targets", "deadman")
    assert bench.machine.state is (State.HOLD if holds else State.FAULT)
    bench.tick(300)
    check_limits(bench)
    if holds:
        assert norm(bench.machine.tick(bench.now + DT)[:3] - bench.told[-1][1][:3]) < 1e-9
    else:
        assert bench.machine.tick(bench.now + DT) is None


@settings(max_examples=25)
@given(st.lists(st.tuples(poses, ages, frames), max_size=30))
def test_every_target_is_either_followed_or_counted_with_its_reason(stream) -> None:
    bench = Bench()
    bench.arm()
    reasons = [bench.target(*it) for it in stream]
    refused = [reason for reason in reasons if reason]
    machine = bench.machine
    assert machine.accepted == len(reasons) - len(refused)
    assert machine.rejected == {f"target/{it}": refused.count(it) for it in refused}
