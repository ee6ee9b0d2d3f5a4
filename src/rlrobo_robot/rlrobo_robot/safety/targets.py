"""What makes a target one that an arm may follow: refused, or drawn nearer and into the box."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.rotation import normalized, turn_between, turned
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.workspace import Workspace

Array = NDArray[np.float64]

UNIT_TOLERANCE = 0.01
"""Of a quaternion's length: what float32 and a few digits of text leave is far less."""
CLOCK_TOLERANCE = 0.05
"""[s] that a stamp may lie ahead: clocks of two machines differ."""


@dataclass(frozen=True, slots=True, eq=False)
class StampedPose:
    """A pose as it came, not yet believed."""

    pose: Array
    """f64[7], metres and quaternion xyzw"""
    stamp: float
    """[s], on the clock of `now`: of a target, when its observation was made"""
    frame: str

    def with_unit_quaternion(self) -> StampedPose:
        pose = np.concatenate([self.pose[:3], normalized(self.pose[3:].tolist())])
        return replace(self, pose=pose)


def why_malformed(it: StampedPose, config: SafetyConfig) -> str:
    """The reason not to read it; "" where there is none."""
    if not (np.isfinite(it.pose).all() and math.isfinite(it.stamp)):
        return "not_finite"
    if abs(math.hypot(*it.pose[3:]) - 1.0) > UNIT_TOLERANCE:
        return "not_unit"
    return "" if it.frame == config.frame else "wrong_frame"


def why_untimely(stamp: float, last: float, now: float, max_age: float) -> str:
    """The reason not to believe a stamp after the `last` one; "" where there is none. One that
    comes twice, too, is out of order."""
    if not stamp <= now + CLOCK_TOLERANCE:
        return "from_the_future"
    if not now - stamp <= max_age:
        return "too_old"
    return "" if stamp > last else "out_of_order"


def why_far(target: Array, measured: Array, config: SafetyConfig) -> str:
    """The reason not to go there from the measured pose; "" where there is none."""
    step, turn = way_between(measured, target)
    far = math.hypot(*step) > config.reject_beyond * config.max_step
    turned_far = math.hypot(*turn) > config.reject_beyond * config.max_turn
    return "too_far" if far or turned_far else ""


def admissible(target: Array, measured: Array, workspace: Workspace, config: SafetyConfig) -> Array:
    """f64[7]: the target, at most a step from the measured pose, and inside. The box comes last,
    so that nothing leads out of it again."""
    step, turn = way_between(measured, target)
    position = measured[:3] + shortened(step, config.max_step)
    quaternion = turned(measured[3:], shortened(turn, config.max_turn))
    return workspace.clip(np.concatenate([position, quaternion]))


def way_between(start: Array, end: Array) -> tuple[Array, Array]:
    """Translation [m] and rotation vector [rad], f64[3] each."""
    return end[:3] - start[:3], np.array(turn_between(start[3:], end[3:]))


def shortened(vector: Array, length: float) -> Array:
    return vector * (length / max(math.hypot(*vector), length))
