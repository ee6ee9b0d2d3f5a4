"""The safety core: what is heard goes in, what the controller may be told comes out.

    DISARMED --arm--> HOLD <--target / silence--> ARMED
        ^                \\                        /
        |                 +---- what is wrong ---+
      reset                          |
        +---------- FAULT <----------+   (latched; also by `stop`, from anywhere)

It has no clock: every call says when it is (`now` [s], any monotonic clock), and `tick`, called
at the controller's rate, is the only one that moves anything. Software is not safety-rated: the
hardware stop stays the operator's first means.
"""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.robot import MOVABLE
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.motion import Motion
from rlrobo_robot.safety.targets import (
    StampedPose,
    admissible,
    why_far,
    why_malformed,
    why_untimely,
)
from rlrobo_robot.safety.workspace import Workspace, tilt

Array = NDArray[np.float64]
NEVER = -math.inf


class State(StrEnum):
    DISARMED = "DISARMED"
    """The controller is inactive and is told nothing."""
    HOLD = "HOLD"
    """The controller keeps the arm where it was; the next valid target moves it."""
    ARMED = "ARMED"
    """The arm follows targets."""
    FAULT = "FAULT"
    """Like DISARMED, until it is reset."""


ACTIVE = (State.HOLD, State.ARMED)


class SafetyMachine:
    LONGEST_TICK = 2.0
    """Periods: after a longer pause the setpoint goes on slowly instead of catching up."""

    def __init__(self, config: SafetyConfig) -> None:
        self.config = config
        self.workspace = Workspace.of(config)
        self.state = State.DISARMED
        self.reason = "not armed yet"
        """Why it is in this state, in words."""
        self.rejected: Counter[str] = Counter()
        """What was refused, by "what/reason"."""
        self.accepted = 0
        """Targets."""
        self._measured: StampedPose | None = None
        self._mode, self._mode_stamp = "unknown", NEVER
        self._excess = ""
        """What is too much about the external wrench."""
        self._target_stamp, self._target_at = NEVER, NEVER
        self._gripper_stamp = NEVER
        self._deadman_at = NEVER
        """When it was last held."""
        self._motion: Motion | None = None
        self._goal: Array | None = None
        self._ticked = NEVER

    # What the operator asks for

    def arm(self, now: float) -> None:
        """Hold the measured pose and follow targets from now on."""
        if self.state in ACTIVE:
            return
        self.check_ready(now)
        assert self._measured is not None
        self._motion = Motion.at(self._measured.pose, self.workspace, self.config)
        self._ticked = now
        self._hold("armed, and no target has come yet")

    def check_ready(self, now: float) -> None:
        """`Refused` where the arm could not be armed now."""
        if self.state is State.FAULT:
            raise Refused(f"a fault is latched ({self.reason}); remove its cause and call reset")
        if problem := self._problem(now):
            raise Refused(f"the arm cannot be armed: {problem}")
        assert self._measured is not None
        pose, space = self._measured.pose, self.workspace
        if not space.contains(pose):
            raise Refused(
                f"the tool is at {np.round(pose[:3], 3).tolist()} m, leaning "
                f"{tilt(pose[3:]):.2f} rad, outside of the workspace from {space.low.tolist()} to "
                f"{space.high.tolist()} m and {space.max_tilt:g} rad; guide it inside, or change "
                "box_low, box_high and max_tilt"
            )

    def disarm(self) -> None:
        if self.state is not State.FAULT:
            self._rest(State.DISARMED, "disarmed by the operator")

    def stop(self, why: str = "stopped by the operator") -> None:
        """Latch a fault, whatever the state."""
        self._rest(State.FAULT, why)

    def reset(self, now: float) -> None:
        """From FAULT to DISARMED, once nothing is wrong any more."""
        if self.state is State.FAULT:
            if problem := self._problem(now):
                raise Refused(f"the fault is still there: {problem}")
            self._rest(State.DISARMED, "reset after a fault")

    # What is heard

    def see_target(self, target: StampedPose, now: float) -> str:
        """Why it was refused; "" where the arm now follows it."""
        why = self._why_not(target, now)
        if why:
            self.rejected[f"target/{why}"] += 1
            return why
        assert self._measured is not None
        self.accepted += 1
        self._target_stamp, self._target_at = target.stamp, now
        self._goal = admissible(target.pose, self._measured.pose, self.workspace, self.config)
        self.state, self.reason = State.ARMED, "following targets"
        return ""

    def see_gripper(self, width: float, stamp: float, now: float) -> float | None:
        """The width [m] that the gripper may be told; None where the command was refused."""
        why = self._why_inactive(now) or ("" if math.isfinite(width) else "not_finite")
        why = why or why_untimely(stamp, self._gripper_stamp, now, self.config.max_target_age)
        if why:
            self.rejected[f"gripper/{why}"] += 1
            return None
        self._gripper_stamp = stamp
        return min(max(width, 0.0), self.config.max_width)

    def see_pose(self, measured: StampedPose, now: float) -> None:
        """Where the tool is."""
        last = self._measured.stamp if self._measured else NEVER
        why = why_malformed(measured, self.config)
        why = why or why_untimely(measured.stamp, last, now, self.config.state_timeout)
        if why:
            self.rejected[f"pose/{why}"] += 1
        else:
            self._measured = measured.with_unit_quaternion()

    def see_mode(self, mode: str, stamp: float, now: float) -> None:
        """What the arm's own controller says it does: one of `MODES`."""
        why = why_untimely(stamp, self._mode_stamp, now, self.config.state_timeout)
        if why:
            self.rejected[f"mode/{why}"] += 1
        else:
            self._mode, self._mode_stamp = mode, stamp

    def see_wrench(self, force: Array, torque: Array) -> None:
        """External force f64[3] [N] and torque f64[3] [N m]. What is not a number is too much."""
        newtons, newton_metres = math.hypot(*force), math.hypot(*torque)
        self._excess = ""
        if not newtons <= self.config.max_force:
            self._excess = f"external force of {newtons:.1f} N, limit {self.config.max_force:g}"
        elif not newton_metres <= self.config.max_torque:
            limit = self.config.max_torque
            self._excess = f"external torque of {newton_metres:.1f} N m, limit {limit:g}"

    def see_deadman(self, held: bool, now: float) -> None:
        self._deadman_at = now if held else NEVER

    # What the controller is told

    def tick(self, now: float) -> Array | None:
        """f64[7], the pose to publish; None while the controller is to hear nothing."""
        if self.state not in ACTIVE:
            return None
        if problem := self._problem(now):
            self._rest(State.FAULT, problem)
            return None
        if self.state is State.ARMED and (silence := self._silence(now)):
            self._hold(silence)
        assert self._motion is not None and self._goal is not None
        dt = min(now - self._ticked, self.LONGEST_TICK / self.config.rate_hz)
        if dt > 0.0:
            self._ticked = now
            self._motion.advance(self._goal, dt)
        return self._motion.pose.copy()

    # What it thinks

    def _why_not(self, target: StampedPose, now: float) -> str:
        config = self.config
        why = self._why_inactive(now) or why_malformed(target, config)
        why = why or why_untimely(target.stamp, self._target_stamp, now, config.max_target_age)
        if why:
            return why
        if self._measured is None or self._pose_problem(now):
            return "no_state"
        return why_far(target.pose, self._measured.pose, config)

    def _why_inactive(self, now: float) -> str:
        if self.state not in ACTIVE:
            return "not_armed"
        return "deadman" if self._released(now) else ""

    def _released(self, now: float) -> bool:
        must = self.config.deadman != "none"
        return must and not now - self._deadman_at <= self.config.deadman_timeout

    def _silence(self, now: float) -> str:
        """Why the arm has nothing to follow; "" where it has."""
        if self._released(now):
            return "the deadman was released"
        if not now - self._target_at <= self.config.target_timeout:
            return f"no valid target for {self.config.target_timeout:g} s"
        return ""

    def _problem(self, now: float) -> str:
        """What is wrong with the arm; "" where nothing is."""
        if problem := self._pose_problem(now):
            return problem
        if not now - self._mode_stamp <= self.config.state_timeout:
            return f"no arm_status newer than {self.config.state_timeout:g} s"
        if self._mode not in MOVABLE:
            return f"the arm is in mode {self._mode!r}"
        return self._excess

    def _pose_problem(self, now: float) -> str:
        stamp = self._measured.stamp if self._measured else NEVER
        fresh = now - stamp <= self.config.state_timeout
        return "" if fresh else f"no current_pose newer than {self.config.state_timeout:g} s"

    def _hold(self, why: str) -> None:
        """Stop, at the pose that was measured last: an arm that pushes against something lets go
        of it."""
        assert self._measured is not None
        self._goal = self.workspace.clip(self._measured.pose)
        self.state, self.reason = State.HOLD, why

    def _rest(self, state: State, why: str) -> None:
        self.state, self.reason = state, why
        self._motion = self._goal = None
