"""The mock arm as a ROS node."""

from __future__ import annotations

from typing import Any

from rlrobo_core.robot.arm import ArmConfig
from rlrobo_core.robot.node import ArmNode
from rlrobo_core.ros.running import run_and_exit
from rlrobo_robot.mock.arm import MockArm


class MockArmNode(ArmNode[ArmConfig]):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("mock_arm", ArmConfig, **kwargs)

    def make_arm(self) -> MockArm:
        return MockArm(self.config)


def main() -> None:
    run_and_exit(MockArmNode)
