"""Where the tool may be: a box for its position, a cone about straight down for its axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.rotation import Floats, Quaternion, turned, z_axis
from rlrobo_robot.safety.config import SafetyConfig

Array = NDArray[np.float64]

TOLERANCE = 1e-9
"""[m], [rad]: of rounding, when a point on the border is asked for."""


@dataclass(frozen=True, eq=False)
class Workspace:
    low: Array
    high: Array
    """f64[3] [m], base frame"""
    max_tilt: float
    """[rad]"""

    @staticmethod
    def of(config: SafetyConfig) -> Workspace:
        for name in ("box_low", "box_high"):
            if len(getattr(config, name)) != 3:
                raise ValueError(
                    f"{name} is {list(getattr(config, name))}; give three numbers, x, y and z [m]"
                )
        low, high = np.array(config.box_low), np.array(config.box_high)
        if not (low < high).all():
            raise ValueError(
                f"the workspace box from {low.tolist()} to {high.tolist()} is empty; every number "
                "of box_low must be smaller than the same one of box_high"
            )
        return Workspace(low, high, config.max_tilt)

    def clip(self, pose: Array) -> Array:
        """f64[7]: the pose, moved into the box and turned into the cone the shortest way."""
        return np.concatenate([self.clip_position(pose[:3]), self._upright(pose[3:])])

    def clip_position(self, position: Array) -> Array:
        return np.minimum(np.maximum(position, self.low), self.high)

    def contains(self, pose: Array) -> bool:
        return self.has_position(pose[:3]) and tilt(pose[3:]) <= self.max_tilt + TOLERANCE

    def has_position(self, position: Array) -> bool:
        return bool(
            (position >= self.low - TOLERANCE).all() and (position <= self.high + TOLERANCE).all()
        )

    def allows_turn(self, quaternion: Floats, turn: Array) -> bool:
        """Whether the axis stays in the cone all the way along the rotation vector `turn`."""
        return largest_tilt(quaternion, turn) <= self.max_tilt + TOLERANCE

    def _upright(self, quaternion: Array) -> Quaternion:
        """Turned about the horizontal until the axis is in the cone."""
        excess = tilt(quaternion) - self.max_tilt
        if excess <= 0.0:
            x, y, z, w = quaternion.tolist()
            return (x, y, z, w)
        x, y, _z = z_axis(quaternion)
        length = math.hypot(x, y)
        # axis x straight down; a tool that points straight up turns about x as well as any way
        about = (-y / length, x / length, 0.0) if length > 1e-9 else (1.0, 0.0, 0.0)
        return turned(quaternion, [excess * it for it in about])


def tilt(quaternion: Floats) -> float:
    """Angle between the tool's axis and straight down [rad]."""
    x, y, z = z_axis(quaternion)
    return math.atan2(math.hypot(x, y), -z)


def largest_tilt(quaternion: Floats, turn: Array) -> float:
    """The largest tilt on the way along the rotation vector `turn` [rad].

    By Rodrigues' formula the axis' share straight down is a + b cos(s) + c sin(s) after the angle
    s, smallest at an end of the way or where b cos + c sin is smallest.
    """
    angle = math.hypot(*turn)
    if angle < 1e-12:
        return tilt(quaternion)
    kx, ky, kz = (it / angle for it in turn)
    x, y, z = z_axis(quaternion)
    a = -kz * (kx * x + ky * y + kz * z)
    b = -z - a
    c = -(kx * y - ky * x)
    lowest = math.atan2(-c, -b) % (2.0 * math.pi)
    stops = (0.0, angle, lowest) if lowest < angle else (0.0, angle)
    down = min(a + b * math.cos(s) + c * math.sin(s) for s in stops)
    return math.acos(max(-1.0, min(1.0, down)))
