"""The Franka Hand through panda-py, without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlrobo_core.panda import MAX_WIDTH
from rlrobo_robot.hand import EPSILON, HandCommand, HandConfig
from rlrobo_robot.panda.library import HAND_PORT, check_reachable

TOLERANCE = 0.01
"""[m] of the widest opening that homing found."""


@dataclass(frozen=True)
class PandaHandConfig(HandConfig):
    """Parameters of the driver."""

    robot_ip: str = ""
    """Address of the arm's control unit."""
    frame: str = "base"
    """Frame of the robot's base."""
    rate_hz: float = field(default=10.0, metadata={"range": (1.0, 30.0)})
    """How often the hand tells how far it is open [Hz]."""


class PandaHand:
    def __init__(self, library: Any, config: PandaHandConfig) -> None:
        """ValueError for a hand that does not answer or was never homed."""
        self._config = config
        check_reachable(config.robot_ip, HAND_PORT)
        try:
            self._gripper = library.libfranka.Gripper(config.robot_ip)
            widest = self._gripper.read_once().max_width
        except RuntimeError as error:
            raise ValueError(
                f"the hand at {config.robot_ip} cannot be controlled: {error}; choose Franka Hand "
                "as end effector in Desk and end whatever else drives it"
            ) from None
        if abs(widest - MAX_WIDTH) > TOLERANCE:
            raise ValueError(
                f"the hand says that it opens by {widest:.3f} m, not by {MAX_WIDTH} m: home it in "
                "Desk, with nothing between its fingers"
            )

    def width(self) -> float:
        """[m], in the next packet that comes."""
        return self._gripper.read_once().width

    def obey(self, command: HandCommand) -> bool:
        """Takes as long as the fingers take; whether it came to the end it was to come to."""
        speed = self._config.hand_speed
        if command.grasps:
            return self._gripper.grasp(
                command.width, speed, self._config.hand_force, EPSILON, EPSILON
            )
        return self._gripper.move(command.width, speed)
