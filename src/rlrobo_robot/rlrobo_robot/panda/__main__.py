"""The Panda's driver: `./rlrobo run rlrobo_robot panda_arm`, or `python -m rlrobo_robot.panda`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.panda.node")


if __name__ == "__main__":
    main()
