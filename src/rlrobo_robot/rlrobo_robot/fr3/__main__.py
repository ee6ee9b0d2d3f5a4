"""The FR3's bridge: `./rlrobo run rlrobo_robot fr3_bridge`, or `python -m rlrobo_robot.fr3`."""

import sys

from rlrobo_core.start import start


def main() -> None:
    try:
        start("rlrobo_robot.fr3.node")
    except ModuleNotFoundError as error:
        print(
            f"error: robot:=fr3 needs franka_ros2 and CRISP in a ROS 2 workspace ({error}): "
            "vcs import src < rlrobo.repos, build it, source its install/setup.bash",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
