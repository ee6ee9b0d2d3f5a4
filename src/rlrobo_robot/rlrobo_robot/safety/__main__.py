"""The safety node: `./rlrobo run rlrobo_robot safety`, or `python -m rlrobo_robot.safety`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.safety.node")


if __name__ == "__main__":
    main()
