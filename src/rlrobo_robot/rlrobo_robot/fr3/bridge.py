"""What an FR3 is asked for and in which order, without ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rlrobo_core.panda import JOINT_SPEED, NEUTRAL
from rlrobo_core.robot import MOVABLE
from rlrobo_robot.hand import HandConfig
from rlrobo_robot.refused import Refused

MODE_OF = ("other", "idle", "move", "guiding", "reflex", "user_stopped", "recovering")
"""By `robot_mode` of franka_msgs/FrankaRobotState 3.4.0."""
GOAL_TOLERANCE = 0.01
"""[rad]; homing is over when every joint is that near."""


@dataclass(frozen=True)
class Fr3Config(HandConfig):
    """Parameters of the bridge."""

    frame: str = "base"
    """Frame of the robot's base."""
    rate_hz: float = field(default=100.0, metadata={"range": (10.0, 500.0)})
    """How often the arm tells where it is [Hz]."""
    controller: str = "cartesian_impedance"
    """Name of the Cartesian impedance controller in the controllers' YAML."""
    broadcasters: tuple[str, ...] = ("joint_state_broadcaster", "franka_robot_state_broadcaster")
    """Controllers that tell the state; a reflex ends them too."""
    hardware: str = "FrankaHardwareInterface"
    """Name of the hardware component."""
    homing_speed: float = field(default=0.1, metadata={"range": (0.01, 0.5)})
    """Share of the joints' largest speeds, on the way to the neutral posture."""


class Franka(Protocol):
    """What franka_ros2 and ros2_control serve. Each raises `Refused` where it does not succeed."""

    async def recover_from_error(self) -> None: ...

    async def activate_hardware(self, name: str) -> None: ...

    async def switch(self, activate: Sequence[str], deactivate: Sequence[str]) -> None: ...

    async def move_joints(
        self, joints: Sequence[float], speeds: Sequence[float], tolerance: float
    ) -> None: ...


class Bridge:
    def __init__(self, franka: Franka, config: Fr3Config) -> None:
        self._franka, self._config = franka, config
        self.mode = "other"
        """As the arm told last."""
        self.active = self.homing = False

    async def activate(self) -> None:
        """The controller begins at the measured pose."""
        if not self.active:
            self._check_rest()
            await self._franka.switch([self._config.controller], [])
            self.active = True

    async def deactivate(self) -> None:
        """Asked for again, whatever is known: it may have come up behind our back."""
        self.active = False
        await self._franka.switch([], [self._config.controller])

    async def recover(self) -> None:
        """Three steps in this order (franka_hardware 3.4.0, doc/index.rst); the impedance
        controller stays inactive until the arm is armed again."""
        if self.active or self.homing:
            raise Refused("the arm is active: call disarm first")
        await self._franka.recover_from_error()
        await self._franka.activate_hardware(self._config.hardware)
        await self._franka.switch(self._config.broadcasters, [])

    async def home(self) -> None:
        self._check_rest()
        self.homing = True
        try:
            speeds = (self._config.homing_speed * JOINT_SPEED).tolist()
            await self._franka.move_joints(NEUTRAL.tolist(), speeds, GOAL_TOLERANCE)
        finally:
            self.homing = False

    def _check_rest(self) -> None:
        if self.active or self.homing:
            raise Refused("the arm is active: call disarm first")
        if self.mode not in MOVABLE:
            raise Refused(
                f"the arm is in mode {self.mode!r}; release the user stop, or call recover"
            )
