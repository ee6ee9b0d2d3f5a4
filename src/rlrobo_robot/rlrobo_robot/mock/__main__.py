"""The mock arm: `./rlrobo run rlrobo_robot mock_arm`, or `python -m rlrobo_robot.mock`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.mock.node")


if __name__ == "__main__":
    main()
