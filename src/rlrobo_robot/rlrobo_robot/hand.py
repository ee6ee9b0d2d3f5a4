"""When a Franka Hand is told something. It queues nothing, and a command takes as long as the
fingers take: so it is spoken to only when the wish has changed, and not too often."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class HandConfig:
    """Of every Franka Hand."""

    hand_speed: float = field(default=0.1, metadata={"range": (0.005, 0.2)})
    """Of the fingers towards each other [m/s]."""
    hand_force: float = field(default=20.0, metadata={"range": (1.0, 70.0)})
    """With which it grasps [N]; Franka's Hand can hold 70 N."""
    hand_pause: float = field(default=0.6, metadata={"range": (0.0, 5.0)})
    """Between two commands at least [s]; 0.6 as in SERL (Luo et al., 2024)."""
    hand_tolerance: float = field(default=0.01, metadata={"range": (0.001, 0.08)})
    """A wish that differs less than this from the last command is none [m]."""


class HandCommand(NamedTuple):
    grasps: bool
    """Closing is grasping, with force, whatever comes between the fingers; opening is moving."""
    width: float
    """[m]"""


EPSILON = 0.08
"""Of a grasp, to both sides [m]: it counts for an object of any size. Franka's default of 5 mm
is for one that is known (libfranka, Gripper::grasp)."""


class HandWish:
    """What is wanted of the hand, and when that is worth a command."""

    def __init__(self, config: HandConfig) -> None:
        self._config = config
        self._wanted: float | None = None
        self._told: float | None = None
        self._told_at = -math.inf

    def want(self, width: float) -> None:
        """[m]"""
        self._wanted = width

    def take(self, measured: float | None, now: float) -> HandCommand | None:
        """The command that is due at `now` [s]; None where there is none. Before the first one
        the hand is where it is `measured` [m]."""
        last = measured if self._told is None else self._told
        if self._wanted is None or last is None:
            return None
        early = now - self._told_at < self._config.hand_pause
        if early or abs(self._wanted - last) < self._config.hand_tolerance:
            return None
        self._told, self._told_at = self._wanted, now
        return HandCommand(self._wanted < last, self._wanted)
