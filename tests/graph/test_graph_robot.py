"""One robot's graph: the safety node is the only way to the arm, and every fault stops it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from graph_peers import PATIENCE, RandomPolicy
from std_msgs.msg import Bool, String

from rlrobo_core.from_messages import pose_from_msg
from rlrobo_core.ros.channels import QOS_COMMAND, QOS_LATCHED
from rlrobo_policy.node import PolicyNode
from rlrobo_robot.episodes.node import EpisodesNode
from rlrobo_robot.mock.node import MockArmNode
from rlrobo_robot.operate.node import Operator
from rlrobo_robot.safety.node import SafetyNode

SAFETY_HZ, SPEED = 20.0, 0.25


class Watcher(Operator):
    """An operator who sees what the controller is told and what state it is in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changed = threading.Condition()
        self.states: list[str] = []
        self.told: list[np.ndarray] = []
        self.asked: list[PoseStamped] = []
        self.instructions: list[str] = []
        for msg_type, topic, note, qos in (
            (String, "safety/state", lambda m: self.states.append(m.data), QOS_LATCHED),
            (PoseStamped, "controller/target_pose", self._note, 1000),
            (PoseStamped, "target_pose", self.asked.append, QOS_COMMAND),
            (String, "instruction", lambda m: self.instructions.append(m.data), QOS_LATCHED),
        ):
            self.create_subscription(msg_type, topic, self._noting(note), qos)

    def run(self) -> None:
        self._ended.wait()

    def wait_for(self, what: Callable[[], Any]) -> None:
        with self.changed:
            if not self.changed.wait_for(what, PATIENCE):
                pytest.fail(f"did not happen in {PATIENCE:g} s; states were {self.states}")

    def wait_for_state(self, state: str) -> None:
        self.wait_for(lambda: self.states and self.states[-1] == state)

    def _note(self, msg: PoseStamped) -> None:
        self.told.append(np.array(pose_from_msg(msg.pose)))

    def _noting(self, note: Callable[[Any], None]) -> Callable[[Any], None]:
        def noted(msg: Any) -> None:
            with self.changed:
                note(msg)
                self.changed.notify_all()

        return noted


@pytest.fixture
def robot(graph) -> Watcher:
    """A mock arm, the safety node, a policy that steps at random, and who looks on. Slow and
    lenient: the machine that tests run on may be busy, and no arm is at risk."""
    graph.add(MockArmNode, image_size=32, rate_hz=10.0, camera_hz=5.0)
    graph.add(
        SafetyNode,
        rate_hz=SAFETY_HZ,
        state_timeout=2.0,
        target_timeout=2.0,
        max_target_age=5.0,
        max_speed=SPEED,
    )
    graph.add(EpisodesNode)
    graph.add(
        lambda **k: PolicyNode(RandomPolicy(), **k),
        edge="robot",
        image_size=32,
        max_observation_age=2.0,
    )
    watcher = graph.add(Watcher)
    watcher.wait_for_state("DISARMED")
    arm(watcher)
    return watcher


def arm(watcher: Watcher) -> None:
    """As soon as the arm is heard."""
    until = time.monotonic() + PATIENCE
    while not (answer := watcher.call("arm")).success:
        assert "newer than" in answer.message or "nobody serves" in answer.message
        assert time.monotonic() < until, answer.message
    # it holds, unless a target has come already
    watcher.wait_for(lambda: watcher.states[-1] in ("HOLD", "ARMED"))


def test_targets_reach_the_arm_through_the_safety_node_and_silence_is_hold(robot: Watcher) -> None:
    results: list[Any] = []
    episode = threading.Thread(
        target=lambda: results.append(robot.episode("reach the green ball", 1.5))
    )
    episode.start()
    robot.wait_for_state("ARMED")
    episode.join()
    (result,) = results
    assert not result.success and not result.judged and "1.5 s" in result.reason
    assert result.steps > 0 and len(robot.asked) >= result.steps
    robot.wait_for_state("HOLD")
    steps = np.linalg.norm(np.diff([pose[:3] for pose in robot.told], axis=0), axis=1)
    assert 0.0 < steps.max() <= SPEED * 2 / SAFETY_HZ + 1e-9  # never more than two periods' way
    assert robot.call("disarm").success
    robot.wait_for_state("DISARMED")
    robot.call("stop")
    robot.wait_for_state("FAULT")


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("reflex", "FAULT"),
        ("user_stop", "FAULT"),
        ("stale_state", "FAULT"),
        ("lost_gripper", "HOLD"),
        ("frozen_camera", "HOLD"),
    ],
)
def test_what_goes_wrong_with_the_arm_stops_it(robot: Watcher, fault: str, state: str) -> None:
    instruction = robot.create_publisher(String, "instruction", QOS_LATCHED)
    instruction.publish(String(data="reach the green ball"))
    robot.wait_for_state("ARMED")
    robot.inject(fault)
    robot.wait_for_state(state)
    if state == "FAULT":
        assert "still there" in robot.call("reset").message
        robot.inject("none")
        robot.call("recover")
        until = time.monotonic() + PATIENCE
        while not robot.call("reset").success:
            assert time.monotonic() < until
        arm(robot)
    else:
        robot.inject("none")
    robot.wait_for_state("ARMED")


def test_an_episode_ends_with_the_success_that_somebody_judged(robot: Watcher) -> None:
    judge = robot.create_publisher(Bool, "success", 10)
    results: list[Any] = []
    episode = threading.Thread(target=lambda: results.append(robot.episode("reach", 60.0)))
    episode.start()
    robot.wait_for_state("ARMED")
    judge.publish(Bool(data=False))
    judge.publish(Bool(data=True))
    episode.join()
    assert results[0].success and results[0].judged and results[0].reason == "success"


LENIENT = ("state_timeout:=2.0", "target_timeout:=2.0", "max_target_age:=5.0",
           "max_observation_age:=2.0")  # fmt: skip
"""The machine that tests run on may be busy; no arm is at risk."""


def test_the_launched_graph_arms_follows_and_holds_when_the_targets_are_cut(graph) -> None:
    """As a user starts it, with the shipped policy, under launch_ros or our interpreter."""
    command = [sys.executable, "-P", "-m", "rlrobo.command", "launch", "real_robot.launch.py"]
    with subprocess.Popen([*command, "robot:=mock", *LENIENT]) as launched:
        try:
            watcher = graph.add(Watcher)
            watcher.wait_for_state("DISARMED")
            arm(watcher)
            assert not watcher.asked
            # The node that owns the instruction says at its start that there is none: until then
            # another's would be taken back.
            watcher.wait_for(lambda: watcher.instructions)
            instruction = watcher.create_publisher(String, "instruction", QOS_LATCHED)
            instruction.publish(String(data="reach the green ball"))
            watcher.wait_for_state("ARMED")
            first = watcher.told[-1]
            watcher.wait_for(lambda: np.abs(watcher.told[-1][:3] - first[:3]).max() > 0.01)
            instruction.publish(String(data=""))
            watcher.wait_for_state("HOLD")
        finally:
            launched.send_signal(signal.SIGINT)


def test_what_was_trained_in_simulation_works_through_the_robots_graph(graph) -> None:
    """The shipped policy, which opens every drawer in simulation, opens one here."""
    command = [sys.executable, "-P", "-m", "rlrobo.command", "launch", "real_robot.launch.py"]
    command += ["robot:=mujoco", "task:=drawer", *LENIENT]
    with subprocess.Popen(command) as launched:
        try:
            watcher = graph.add(Watcher)
            watcher.wait_for_state("DISARMED")
            arm(watcher)
            rate = watcher.trials(1, max_seconds=60.0)
        finally:
            launched.send_signal(signal.SIGINT)
    assert (rate.successes, rate.episodes) == (1, 1)


def test_a_second_publisher_to_the_controller_is_noticed_and_nothing_is_followed(graph) -> None:
    mock = graph.add(MockArmNode, image_size=32)
    graph.add(SafetyNode)
    assert "more than one" not in mock.ailment()
    graph.add(Watcher).create_publisher(PoseStamped, "controller/target_pose", QOS_COMMAND)
    until = time.monotonic() + PATIENCE
    while "more than one" not in mock.ailment():
        assert time.monotonic() < until
        time.sleep(0.1)
