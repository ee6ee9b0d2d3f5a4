"""The simulated arm as a ROS node."""

from __future__ import annotations

from typing import Any

from rlrobo_core.robot.node import ArmNode
from rlrobo_core.ros.running import run_and_exit
from rlrobo_sim.arm.arm import MujocoArm, MujocoArmConfig


class MujocoArmNode(ArmNode[MujocoArmConfig]):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("mujoco_arm", MujocoArmConfig, **kwargs)

    def make_arm(self) -> MujocoArm:
        return MujocoArm(self.config)


def main() -> None:
    run_and_exit(MujocoArmNode)
