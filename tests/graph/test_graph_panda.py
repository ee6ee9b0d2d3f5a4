"""The Panda's driver in a real graph with the safety node, around a faked library: arm, follow,
a reflex, and back."""

from __future__ import annotations

import threading
from typing import Any

import fake_panda
import numpy as np
import pytest
from graph_arms import PATIENCE, Hands, until

from rlrobo_core import panda as kinematics
from rlrobo_robot.panda.node import PandaArmNode
from rlrobo_robot.panda_hand.node import PandaHandNode
from rlrobo_robot.safety.node import SafetyNode


@pytest.fixture
def bench(graph, monkeypatch: pytest.MonkeyPatch):
    for module in ("panda.library", "panda_hand.hand"):
        monkeypatch.setattr(f"rlrobo_robot.{module}.check_reachable", lambda *_: None)
    library = fake_panda.make()
    arm = graph.add(lambda **k: PandaArmNode(library, **k), robot_ip="arm", rate_hz=20.0)
    graph.add(lambda **k: PandaHandNode(library, **k), robot_ip="arm", hand_pause=0.1)
    safety = graph.add(
        SafetyNode, rate_hz=20.0, state_timeout=2.0, target_timeout=2.0, max_target_age=5.0
    )
    hands = graph.add(Hands)
    until(lambda: hands.call("arm").success)
    return library.robot, arm, safety, hands


def test_arm_follow_reflex_recover_and_home(bench) -> None:
    robot, arm, safety, hands = bench
    assert arm.arm.active
    target = robot.arm.state().ee_pose.copy()
    target[1] += 0.06
    until(
        lambda: abs(robot.arm.state().ee_pose[1] - target[1]) < 0.01 and robot.told_hand,
        meanwhile=lambda: hands.ask(target, 0.08),
    )
    assert robot.told_hand[0] == ("move", 0.08)
    assert "disarm first" in hands.call("home").message

    robot.reflex()
    until(lambda: safety.machine.state == "FAULT")
    until(lambda: not arm.arm.broken)  # the safety node has deactivated it
    assert "still there" in hands.call("reset").message
    assert "idle" in hands.call("recover").message
    until(lambda: hands.call("reset").success)
    assert hands.call("home").success
    np.testing.assert_allclose(robot.arm.state().joints, kinematics.NEUTRAL)
    until(lambda: hands.call("arm").success)


def test_stop_reaches_an_arm_that_is_on_its_way_home(bench) -> None:
    robot, arm, _, hands = bench
    hands.call("disarm")
    until(lambda: not arm.arm.active)
    answers: list[Any] = []
    homing = threading.Thread(target=lambda: answers.append(hands.call("home")))
    robot.slow_home = PATIENCE
    homing.start()
    until(lambda: answers, meanwhile=lambda: hands.call("stop"))
    homing.join()
    assert not answers[0].success and "before the neutral posture" in answers[0].message
