"""MoveIt Servo's bridge: `./rlrobo run rlrobo_robot servo_bridge`."""

import sys

from rlrobo_core.start import start


def main() -> None:
    try:
        start("rlrobo_robot.servo.node")
    except ModuleNotFoundError as error:
        print(
            f"error: robot:=servo needs franka_ros2 and MoveIt in a ROS 2 workspace ({error}): "
            "apt install ros-jazzy-moveit; vcs import src < rlrobo.repos, build it, source its "
            "install/setup.bash",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
