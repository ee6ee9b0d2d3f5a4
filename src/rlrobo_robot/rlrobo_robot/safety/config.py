"""What the safety node allows. The speeds are where to start with an arm: raise them with care."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SafetyConfig:
    """The node's parameters. Lengths [m], angles [rad], times [s], in the base frame."""

    frame: str = "base"
    """Frame of the robot's base; targets and states in another are refused."""
    box_low: tuple[float, ...] = (0.30, -0.40, 0.012)
    """Lowest x, y, z of the tool centre point [m]; z is the floor (the fingertips end 9 mm below
    the point)."""
    box_high: tuple[float, ...] = (0.80, 0.40, 0.65)
    """Highest x, y, z of the tool centre point [m]."""
    max_tilt: float = field(default=0.35, metadata={"range": (0.0, 3.2)})
    """How far the tool may lean from straight down [rad]."""
    max_step: float = field(default=0.1, metadata={"range": (0.001, 0.5)})
    """How far from the measured position a target may lie [m]; beyond, it is drawn nearer."""
    max_turn: float = field(default=0.3, metadata={"range": (0.001, 3.2)})
    """How far from the measured orientation a target may lie [rad]."""
    reject_beyond: float = field(default=3.0, metadata={"range": (1.0, 100.0)})
    """A target further away than this many largest steps is no target but a fault: refused."""
    max_speed: float = field(default=0.25, metadata={"range": (0.001, 1.7)})
    """Of the tool [m/s]. The upper end is Franka's own limit."""
    max_acceleration: float = field(default=1.0, metadata={"range": (0.01, 13.0)})
    """Of the tool [m/s^2]."""
    max_turn_speed: float = field(default=0.5, metadata={"range": (0.001, 2.5)})
    """Of the tool [rad/s]."""
    max_turn_acceleration: float = field(default=2.0, metadata={"range": (0.01, 25.0)})
    """Of the tool [rad/s^2]."""
    max_width: float = field(default=0.08, metadata={"range": (0.0, 0.2)})
    """Of the open gripper [m]."""
    max_target_age: float = field(default=0.5, metadata={"range": (0.01, 10.0)})
    """A target whose observation is older than this is refused [s]."""
    target_timeout: float = field(default=0.5, metadata={"range": (0.01, 10.0)})
    """Without an accepted target for so long the arm holds [s]."""
    state_timeout: float = field(default=0.2, metadata={"range": (0.005, 2.0)})
    """Without a newer pose or status of the arm for so long it is a fault [s]."""
    max_force: float = field(default=30.0, metadata={"range": (0.1, 1000.0)})
    """External force that is a fault [N]."""
    max_torque: float = field(default=10.0, metadata={"range": (0.1, 1000.0)})
    """External torque that is a fault [N m]."""
    deadman: Literal["none", "joy", "heartbeat"] = "none"
    """What must be held for the arm to follow targets: nothing, a button of a joystick (topic
    joy), or a heartbeat (topic heartbeat)."""
    deadman_button: int = field(default=4, metadata={"range": (0, 31)})
    """Which button of the joystick."""
    deadman_timeout: float = field(default=0.5, metadata={"range": (0.01, 5.0)})
    """Without a message of it for so long the deadman counts as released [s]."""
    rate_hz: float = field(default=100.0, metadata={"range": (10.0, 1000.0)})
    """How often the controller is told where to be [Hz]."""
