"""The calibration's node: `./rlrobo run rlrobo_robot calibration`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.calibration.node")


if __name__ == "__main__":
    main()
