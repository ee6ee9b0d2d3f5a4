"""An arm without ROS: what a simulated one has to offer to speak a robot's topics (`node.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

INJECTIONS = ("none", "reflex", "user_stop", "stale_state", "lost_gripper", "frozen_camera")
"""What can be made to go wrong with it, on command; `none` ends them all."""


@dataclass(frozen=True)
class ArmConfig:
    """Parameters of every simulated arm."""

    frame: str = "base"
    """Frame of the robot's base."""
    joint_prefix: str = "panda_"
    """Before the joints' names: panda_, fr3_, fer_."""
    rate_hz: float = field(default=50.0, metadata={"range": (10.0, 250.0)})
    """How often the arm moves and tells where it is [Hz]."""
    camera_hz: float = field(default=10.0, metadata={"range": (0.1, 60.0)})
    """How often its cameras send an image [Hz]."""
    image_size: int = field(default=112, metadata={"range": (16, 2048)})
    """Height and width of the camera images [px]."""
    cameras: tuple[str, ...] = ("front", "wrist")
    """Cameras: front, wrist."""


CAMERA_NAMESPACES = {"front": "camera", "wrist": "wrist_camera"}
"""Where each of the policy's cameras has its `image_raw` and `camera_info`."""


def camera_namespace(camera: str) -> str:
    if camera not in CAMERA_NAMESPACES:
        there = ", ".join(CAMERA_NAMESPACES)
        raise ValueError(f"unknown camera {camera!r}; choose from: {there}")
    return CAMERA_NAMESPACES[camera]


@dataclass(frozen=True, slots=True, eq=False)
class ArmState:
    joints: Array
    """f64[7] [rad]"""
    ee_pose: Array
    """f64[7], tool centre point in the base frame"""
    gripper_width: float
    """[m]"""
    success: bool | None = None
    """Whether the task at hand is done, where the arm's world can judge that."""


class Arm(Protocol):
    """Stepped by its node at `ArmConfig.rate_hz`, always from one thread."""

    fovy_C: tuple[float, ...]
    """Of each of its cameras, from top to bottom [rad]."""

    def step(self, target: Array | None, width: float) -> None:
        """Move for a period towards `target` (f64[7]; None: stand still) and a gripper opening
        of `width` [m]."""
        ...

    def state(self) -> ArmState: ...

    def render(self) -> NDArray[np.uint8]:
        """u8[C, H, W, 3], RGB, in the order of `ArmConfig.cameras`."""
        ...

    def restart(self) -> str:
        """Put arm and scene where an episode starts; what the instruction is, or ""."""
        ...

    def close(self) -> None: ...
