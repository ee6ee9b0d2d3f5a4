"""The Hand's driver: `./rlrobo run rlrobo_robot panda_hand`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.panda_hand.node")


if __name__ == "__main__":
    main()
