"""What there is to see at one moment: between those who hear a graph and those who draw it.

Shape legend: L places that the tool was at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.shapes import Rgba

Array = NDArray[np.float64]


class Candidate(NamedTuple):
    """An action that was tried from the same state as others."""

    position: Array
    """f64[3], where it sent the tool"""
    advantage: float | None
    """How much better than the others' it turned out, in standard deviations; None: not yet."""
    chosen: bool
    """Whether the episode went on with it."""


class Box(NamedTuple):
    low: Array
    high: Array
    """f64[3] [m]"""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One arm and what concerns it. Poses are f64[7] in the base frame [m], xyzw."""

    tool: Array
    joints: Array
    """f64[7] [rad]"""
    solved: bool
    """The joints were not told but solved from the tool's pose: the elbow may be elsewhere."""
    gripper_width: float
    """[m]"""
    trail_L: Array
    """f64[L, 3]"""
    text: str
    target: Array | None = None
    image: NDArray[np.uint8] | None = None
    """u8[H, W, 3], RGB"""
    candidates: tuple[Candidate, ...] = ()
    workspace: Box | None = None
    state: str = ""
    """The safety node's; "" where there is none."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """For curves, by slash keys."""


class Heard(NamedTuple):
    """A topic that a watch needs."""

    msgtype: str
    latched: bool = False


class Watch(Protocol):
    """Follows a graph by what is said on its topics (`TOPICS`, by relative names)."""

    TOPICS: Mapping[str, Heard]

    def see(self, topic: str, msg: Any) -> bool:
        """Takes in a message, of rclpy or `rosbags`; whether there is something new to see.
        ValueError where the message contradicts itself."""
        ...

    def sight(self) -> Sight | None:
        """None before enough was heard."""
        ...


GOOD, EVEN, BAD, UNKNOWN = (0.1, 0.75, 0.2), (0.9, 0.85, 0.3), (0.9, 0.15, 0.1), (0.6, 0.6, 0.6)
STATE_COLORS: dict[str, Rgba] = {
    "DISARMED": (0.6, 0.6, 0.6, 1.0),
    "ARMED": (0.1, 0.8, 0.2, 1.0),
    "HOLD": (1.0, 0.75, 0.0, 1.0),
    "FAULT": (0.95, 0.1, 0.1, 1.0),
}


def advantage_color(advantage: float | None) -> Rgba:
    """Red over yellow to green from -1.5 to 1.5; grey while it is not known."""
    if advantage is None:
        return (*UNKNOWN, 0.8)
    share = min(1.0, abs(advantage) / 1.5)
    end = GOOD if advantage > 0.0 else BAD
    red, green, blue = (a + share * (b - a) for a, b in zip(EVEN, end, strict=True))
    return (red, green, blue, 0.9)


def state_color(state: str) -> Rgba:
    return STATE_COLORS.get(state, (*UNKNOWN, 1.0))
