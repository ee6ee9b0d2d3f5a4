"""Moves a setpoint towards a goal that may change at any moment, under limits of velocity and
acceleration, and never so that it could no longer stop inside the workspace.

From rest the position goes straight and the orientation along a great circle (slerp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.rotation import turn_between, turned
from rlrobo_robot.safety.config import SafetyConfig
from rlrobo_robot.safety.workspace import Workspace

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limit:
    """Of the length of a velocity and of its change."""

    speed: float
    """[m/s] or [rad/s]"""
    acceleration: float
    """[m/s^2] or [rad/s^2]"""

    def steer(self, velocity: Array, offset: Array, dt: float) -> Array:
        """The velocity of the next `dt` [s] on the way along `offset` (f64[3]), at whose end it
        shall stand still."""
        distance = math.hypot(*offset)
        change_of_dt = self.acceleration * dt
        # so fast that after this step it can just stop there: v dt + v^2 / 2a = d
        speed = math.sqrt(change_of_dt**2 + 2 * self.acceleration * distance) - change_of_dt
        speed = min(self.speed, speed)
        wanted = offset * (speed / distance) if distance > 1e-12 else np.zeros(3)
        change = wanted - velocity
        size = math.hypot(*change)
        return velocity + change * min(1.0, change_of_dt / max(size, 1e-12))

    def brake(self, velocity: Array, dt: float) -> Array:
        speed = math.hypot(*velocity)
        return velocity * max(0.0, 1.0 - self.acceleration * dt / max(speed, 1e-12))

    def stopping_way(self, velocity: Array) -> Array:
        """How far it still goes when it brakes, f64[3]; at least as far as in steps."""
        return velocity * (math.hypot(*velocity) / (2 * self.acceleration))


@dataclass(slots=True)
class Motion:
    """A setpoint and how it moves. Where it stands when it is made must be inside."""

    workspace: Workspace
    linear: Limit
    angular: Limit
    pose: Array
    """f64[7]"""
    velocity: Array = field(default_factory=lambda: np.zeros(3))
    """f64[3] [m/s]"""
    turning: Array = field(default_factory=lambda: np.zeros(3))
    """f64[3] [rad/s], about the base's axes"""

    @staticmethod
    def at(pose: Array, workspace: Workspace, config: SafetyConfig) -> Motion:
        linear = Limit(config.max_speed, config.max_acceleration)
        angular = Limit(config.max_turn_speed, config.max_turn_acceleration)
        return Motion(workspace, linear, angular, workspace.clip(pose))

    def advance(self, goal: Array, dt: float) -> None:
        """One step of `dt` [s] towards the goal, f64[7], which is inside."""
        self._translate(goal[:3], dt)
        self._turn(goal[3:], dt)

    def _translate(self, goal: Array, dt: float) -> None:
        position = self.pose[:3]
        velocity = self.linear.steer(self.velocity, goal - position, dt)
        # Braking along itself leaves the place where it stops unchanged: as that was inside
        # (the box is convex), so is all of the way there, whatever the goal does.
        if not self.workspace.has_position(
            position + velocity * dt + self.linear.stopping_way(velocity)
        ):
            velocity = self.linear.brake(self.velocity, dt)
        self.velocity = velocity
        self.pose[:3] = self.workspace.clip_position(position + velocity * dt)

    def _turn(self, goal: Array, dt: float) -> None:
        quaternion = self.pose[3:].tolist()
        offset = np.array(turn_between(quaternion, goal.tolist()))
        turning = self.angular.steer(self.turning, offset, dt)
        # Likewise: the way on which it would come to rest has to stay in the cone.
        way = turning * dt + self.angular.stopping_way(turning)
        if not self.workspace.allows_turn(quaternion, way):
            turning = self.angular.brake(self.turning, dt)
        self.turning = turning
        self.pose[3:] = turned(quaternion, (turning * dt).tolist())
