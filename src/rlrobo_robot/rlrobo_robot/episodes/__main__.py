"""The episode node: `./rlrobo run rlrobo_robot episodes`, or `python -m rlrobo_robot.episodes`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.episodes.node")


if __name__ == "__main__":
    main()
