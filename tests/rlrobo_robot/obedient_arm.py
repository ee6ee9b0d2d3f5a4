"""An arm that goes where it is told, and a tape of what it was told: the other side of a
`SafetyMachine` under test."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rlrobo_core.codec import TOOL_DOWN
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.machine import ACTIVE, SafetyMachine, State
from rlrobo_robot.safety.targets import StampedPose

DT = 0.01
HOME = np.array([0.5, 0.0, 0.3, *TOOL_DOWN.astype(float)])
TOOL_UP = (0.0, 0.0, 0.0, 1.0)


def stamped(pose, stamp: float, frame: str = "base") -> StampedPose:
    return StampedPose(np.array(pose, dtype=float), stamp, frame)


def at(x: float, y: float, z: float, quaternion=TOOL_DOWN) -> list[float]:
    return [x, y, z, *map(float, quaternion)]


@dataclass
class Bench:
    """A machine, its arm, and time that passes in ticks."""

    config: SafetyConfig = field(default_factory=SafetyConfig)
    now: float = 100.0
    pose: np.ndarray = field(default_factory=HOME.copy)
    mode: str | None = "move"
    """None: the arm says nothing about it."""
    follows: float = 0.2
    """Share of the way to the setpoint that the arm goes in a tick."""
    tells_pose: bool = True
    told: list[tuple[float, np.ndarray, State]] = field(default_factory=list)
    """When, where to, and the machine's state."""

    def __post_init__(self) -> None:
        self.machine = SafetyMachine(self.config)
        self._hear_the_arm()

    def arm(self) -> None:
        was_active = is_active(self)
        begins = not is_active(self)
        self.machine.arm(self.now)
        if begins:  # where the setpoint stands still at first
            self.told.append((self.now, self.pose.copy(), self.machine.state))
        if not was_active:  # where the setpoint starts, at rest
            self.told.append((self.now, self.pose.copy(), self.machine.state))

    def target(self, pose, age: float = 0.0, frame: str = "base") -> str:
        return self.machine.see_target(stamped(pose, self.now - age, frame), self.now)

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += DT
            self._hear_the_arm()
            setpoint = self.machine.tick(self.now)
            if setpoint is None:
                continue
            self.told.append((self.now, setpoint, self.machine.state))
            self.pose[:3] += self.follows * (setpoint[:3] - self.pose[:3])
            self.pose[3:] = setpoint[3:]

    def follow(self, goal, seconds: float) -> None:
        """A policy that asks for the goal ten times a second."""
        for _ in range(round(seconds * 10)):
            self.target(goal)
            self.tick(10)

    def _hear_the_arm(self) -> None:
        if self.tells_pose:
            self.machine.see_pose(stamped(self.pose, self.now), self.now)
        if self.mode is not None:
            self.machine.see_mode(self.mode, self.now, self.now)


def runs(bench: Bench) -> list[tuple[np.ndarray, np.ndarray]]:
    """What was told without a pause: times f64[T] and poses f64[T, 7], run after run."""
    cuts = [i for i, (a, b) in enumerate(zip(bench.told, bench.told[1:], strict=False), 1)
            if b[0] - a[0] > 1.5 * DT]  # fmt: skip
    parts = np.split(np.arange(len(bench.told)), cuts)
    return [
        (np.array([bench.told[i][0] for i in part]), np.array([bench.told[i][1] for i in part]))
        for part in parts
        if len(part)
    ]


def is_active(bench: Bench) -> bool:
    return bench.machine.state in ACTIVE


def norm(vector) -> float:
    return math.hypot(*vector)
